"""Whether a value has the shape its spec expects, part by part: keys, kinds, words. [pure]

Not for values that are well-formed and still wrong: ``rules`` judges those.
"""

from __future__ import annotations

from datetime import datetime
from enum import EnumType
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from lib.errors import did_you_mean, nearest
from registry.spec.aggregations import FUNCTION_SYNONYMS
from registry.spec.bounds import Bound

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from registry.reading.findings import Found
    from registry.reading.yaml_documents import Path

#: What a key is written like; the keys whose name alone does not show it.
EXAMPLES = {
    "name": "customer_spend",
    "join_keys": "[{name: customer_id, type: int64}]",
    "type": "int64",
    "path": "data/events/*.parquet",
    "root": "default",
    "connection": "warehouse",
    "table": "sales.purchases",
    "query": "SELECT id, amount, paid_at FROM sales.purchases",
    "schema": "{order_id: int64, amount: decimal(12,2), paid_at: timestamp}",
    "optional": "[discount]",
    "event_id": "order_id",
    "parameters": '{status: paid, updated_since: "{since}"}',
    "paging": "{by: cursor, parameter: cursor, next: meta.next}",
    "by": "link",
    "next": "meta.next",
    "event_timestamp": "purchased_at, or {column: loaded_ms, unit: ms}",
    "created_timestamp": "loaded_at, or {column: loaded_ms, unit: ms}",
    "lookback": "3d",
    "table_version": "12",
    "as_of": "2026-01-01",
    "column": "amount",
    "entities": "[customer]",
    "source": "purchases",
    "sources": "[{name: products, on: [product_id], ttl: 30d}]",
    "on": "[product_id], or {id: product_id} where names differ",
    "features": "[{name: amount, type: float64}]",
    "mask": "hash, {hash: email} or {bucket: [18, 30, 65]}",
    "encode": "{steps: [standard], fit: {from: 2026-01-01, to: 2026-07-01}}",
    "steps": "[{step: clip, min: 0}, standard]",
    "step": "clip",
    "fit": "{from: 2026-01-01, to: 2026-07-01}",
    "from": "2026-01-01",
    "to": "2026-07-01",
    "bucket": "[18, 30, 65]",
    "hash": "email",
    "aggregations": "[{column: amount, functions: [sum], windows: [30d]}]",
    "views": "[{features: [profile:segment], on: {customer_id: buyer_id}}]",
    "python": "package.module:function, or {function: package.module:function, columns: [text]}",
    "accuracy": "temporal",
    "unit": "ms, or USD of a feature",
    "context": '"spent {amount_sum_30d:.0f} USD in 30 days"',
    "functions": "[sum, count]",
    "function": "last_k",
    "k": "10",
    "p": "95",
    "windows": "[3d, 30d, unbounded]",
    "where": "status = 'paid'",
    "checks": "{not_null: 0.99, min: 0}",
    "allowed": "[gold, silver]",
    "regex": "'[A-Z]{3}'",
    "length": "{min: 1, max: 20}",
    "unique": "true",
    "warn": "{not_null: 0.999}",
    "drift": "{psi: 0.2}",
    "against": "baseline",
    "severity": "warn",
    "min_rows": "1000",
    "rows": "{min: 1000}",
    "newest": "2h",
    "conditions": "{paid_or_free: amount >= 0 or free}",
    "start": "2026-01-01",
    "ttl": "30d",
    "schedule": "{every: 1h}",
    "freshness": "2h",
    "every": "1h",
    "cron": '"15 * * * *"',
    "version": '"1.0.0"',
    "based_on": '"1.0.0"',
    "tags": "{domain: payments}",
}
#: What is called as others please, so that a number may well be meant.
_NAMES_OF_OTHERS = ("path", "table", "column")
_WANTED: dict[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    datetime: "a day or an instant",
    Bound | None: "a number",
}
_GOT: dict[type, str] = {
    str: "text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a mapping",
    NoneType: "null",
}


def shape_problems(annotation: Any, value: Any, path: Path) -> Iterator[Found]:
    """Yield ``(path, message)`` for each part of ``value`` that is not what ``annotation`` says."""
    bare = _bare(annotation)
    if get_origin(bare) is tuple and isinstance(value, list):
        for index, item in enumerate(value):
            yield from shape_problems(get_args(bare)[0], item, (*path, index))
    elif get_origin(bare) is dict and isinstance(value, dict):
        for key, item in value.items():
            yield from shape_problems(get_args(bare)[1], item, (*path, key))
    elif (structs := _tagged(bare)) and (isinstance(value, dict) or _words(bare)):
        yield from _tagged_problems(structs, _words(bare), value, path)
    elif isinstance(value, dict) and (struct := _struct_of(bare)) is not None:
        yield from _key_problems(struct, value, path)
    else:
        try:
            msgspec.convert(value, annotation, strict=True)
        except msgspec.ValidationError:
            yield path, _unlike(bare, value, path)


def _tagged_problems(
    structs: Mapping[str, type[msgspec.Struct]], alone: list[str], value: Any, path: Path
) -> Iterator[Found]:
    """Judge what is a mapping that names one of ``structs`` or, where there are any, a word."""
    words = [*dict.fromkeys([*alone, *structs])]
    if not isinstance(value, dict):
        if isinstance(value, str) and value in structs and value not in alone:
            example = getattr(structs[value], "example", "a mapping")
            yield path, f"{value!r} has parameters; write it as in {example}."
        elif value not in alone:
            yield path, _not_a_word(words, value)
        return
    tag = str(next(iter(structs.values())).__struct_config__.tag_field)
    name, rest = value.get(tag), {key: item for key, item in value.items() if key != tag}
    struct = structs.get(name) if isinstance(name, str) else None
    if tag in value and name in alone and struct is None:
        yield (*path, tag), f"{name!r} has no parameters; write it alone, as in [{name}]."
    elif tag in value and struct is None:
        yield (*path, tag), _not_a_word(words, name)
    elif tag not in value and (alone or not any(nearest(key, (tag,)) for key in rest)):
        hint = _as_in(str, None, (*path, tag)) if alone else f"; write {' or '.join(structs)}"
        yield (*path, tag), f"required and missing{hint}."
    if struct is not None or not alone:
        yield from _key_problems(struct or next(iter(structs.values())), rest, path, tag=tag)


def _key_problems(
    struct: type[msgspec.Struct], value: dict[str, Any], path: Path, *, tag: str | None = None
) -> Iterator[Found]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    known = [*fields, *([tag] if tag else [])]
    meant = set()
    for key, item in value.items():
        if key in fields:
            yield from shape_problems(fields[key].type, item, (*path, key))
        else:
            meant.add(nearest(key, known))
            instead = getattr(struct, "misplaced", {}).get(key)
            name = f"{value.get('name')}: " if instead else ""
            hint = f" {name}{instead}" if instead else did_you_mean(key, known)
            yield (*path, key), f"unknown key {key!r}.{hint}"
    for name, field in fields.items():
        if field.required and name not in value and name not in meant:
            yield (*path, name), f"required and missing{_as_in(field.type, None, (*path, name))}."


def _bare(annotation: Any) -> Any:
    """Return ``X`` for ``X | None``."""
    given = [each for each in get_args(annotation) if each is not NoneType]
    is_union = get_origin(annotation) in (Union, UnionType)
    return given[0] if is_union and len(given) == 1 else annotation


def _is_struct(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, msgspec.Struct)


def _struct_of(annotation: Any) -> type[msgspec.Struct] | None:
    """Return the one struct that a mapping can be, also as part of a union with words."""
    is_union = get_origin(annotation) in (Union, UnionType)
    members = get_args(annotation) if is_union else (annotation,)
    return next((each for each in members if _is_struct(each)), None)


def _tagged(annotation: Any) -> dict[str, type[msgspec.Struct]]:
    """Return tag → struct of a tagged struct or of those in a union; empty without any."""
    is_union = get_origin(annotation) in (Union, UnionType)
    members = get_args(annotation) if is_union else (annotation,)
    structs = [each for each in members if _is_struct(each) and each.__struct_config__.tag_field]
    return {str(each.__struct_config__.tag): each for each in structs}


def _unlike(annotation: Any, value: Any, path: Path) -> str:
    if words := _words(annotation):
        return _not_a_word(words, value)
    got = _GOT.get(type(value), type(value).__name__)
    if get_origin(annotation) is Annotated and type(value) in (int, float):
        got = str(value)[:100]  # the number itself is what is wrong
    return f"expected {_wanted(annotation)}, got {got}{_as_in(annotation, value, path)}."


def _not_a_word(words: Sequence[str], value: Any) -> str:
    near = nearest(str(value), words, FUNCTION_SYNONYMS)
    hint = f" Did you mean {near!r}?" if near else ""
    return f"{str(value)[:100]!r} is not one of the words.{hint} Valid: {', '.join(words)}."


def _words(annotation: Any) -> list[str]:
    """Return the words an enumeration allows, also as part of a union; none without one."""
    if get_origin(annotation) in (Union, UnionType):
        return [word for each in get_args(annotation) for word in _words(each)]
    if get_origin(annotation) is Literal:
        return list(map(str, get_args(annotation)))
    return list(map(str, annotation)) if isinstance(annotation, EnumType) else []


def _wanted(annotation: Any) -> str:
    if get_origin(annotation) is tuple:
        return "a list"
    if _is_struct(annotation) or get_origin(annotation) is dict:
        return "a mapping"
    if get_origin(annotation) is Annotated:
        kind, bounds = get_args(annotation)
        return f"{_WANTED[kind]} from {bounds.ge} to {bounds.le}"
    return _WANTED.get(annotation, "text, a whole number or true or false")


def _as_in(annotation: Any, value: Any, path: Path) -> str:
    """Return how to write it: the value itself as a list's item, the key's example, or quotes."""
    if get_origin(annotation) is tuple and get_args(annotation)[0] is str:
        if isinstance(value, str):
            return f"; write a list, as in [{value[:100]}]"
        if path == ("features",):
            return "; write a list, as in [view:feature]"
    if path[-1] in _NAMES_OF_OTHERS and type(value) in (int, float):
        return f'; put it in quotes, as in "{value}"'
    own = isinstance(path[-1], str) and path[-2:-1] != ("tags",)
    if own and path[-1] in EXAMPLES:
        return f"; write it as in {EXAMPLES[path[-1]]}"
    scalar = isinstance(value, (bool, int, float))
    return "; put it in quotes" if annotation is str and scalar else ""
