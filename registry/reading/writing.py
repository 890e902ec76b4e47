"""Specs to definitions text, which reads back as exactly the same specs. [pure]

Not for what a registered object says (``operations.registration.exported``). The form is one: keys
in a fixed order, defaults left out, quotes where a reader of YAML 1.1 or 1.2 needs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import yaml

from registry.choices import Kind
from registry.reading.yaml_documents import load_documents, reads_as_text

if TYPE_CHECKING:
    from registry.spec.base import Described

#: Longer lists and mappings stand over several lines.
_LINE = 88
#: What has to be in quotes, whatever it looks like.
_QUOTED = ("version", "based_on")
#: What a document begins with; the rest follows in the order of its kind.
_FIRST = ("kind", "name", "type", "version", "based_on", "description", "owner", "tags")
_TAG = "tag:yaml.org,2002:"
_NUMBERS = yaml.representer.SafeRepresenter()
_MIDNIGHT = "T00:00:00Z"


def written(kind: Kind, spec: Described) -> str:
    """Return the definition as one YAML document, without a mark before it."""
    root = _mapping(document_of(kind, spec), is_outer=True)
    # Lines are never folded: a difference is then about what is written, not about its width.
    text: str = yaml.serialize(root, Dumper=yaml.SafeDumper, allow_unicode=True, width=10**9)
    return text


def document_of(kind: Kind, spec: Described) -> dict[str, Any]:
    """Return the definition as the mapping that the text is read as."""
    body: dict[str, Any] = {"kind": str(kind), **msgspec.to_builtins(spec)}
    return _shortened({key: body[key] for key in _FIRST if key in body} | body)


def _shortened(body: dict[str, Any]) -> dict[str, Any]:
    """Write what may be short as its authors do: see ``parsing`` for what it stands for."""
    for key in ("event_timestamp", "created_timestamp"):
        if isinstance(time := body.get(key), dict) and set(time) == {"column"}:
            body[key] = time["column"]
    if joins := body.get("sources"):
        body["sources"] = [each | {"on": _names_or_pairs(each["on"])} for each in joins]
    if isinstance(start := body.get("start"), str):
        body["start"] = start.removesuffix(_MIDNIGHT)
    return {key: value for key, value in body.items() if (key, value) != ("checks", {})}


def _names_or_pairs(on: dict[str, str]) -> list[str] | dict[str, str]:
    return list(on) if all(theirs == ours for theirs, ours in on.items()) else on


def _node(value: Any, *, is_quoted: bool = False) -> yaml.Node:
    if isinstance(value, dict):
        return _mapping(value)
    if isinstance(value, list | tuple):
        flow = all(map(_is_scalar, value)) and _fits(value)
        return yaml.SequenceNode(_TAG + "seq", [_node(item) for item in value], flow_style=flow)
    if isinstance(value, str):
        return _text(value, is_quoted=is_quoted)
    node: yaml.Node = _NUMBERS.represent_data(value)
    return node


def _mapping(value: dict[str, Any], *, is_outer: bool = False) -> yaml.MappingNode:
    pairs = [
        (_text(key), _node(item, is_quoted=is_outer and key in _QUOTED))
        for key, item in value.items()
    ]
    flow = not is_outer and all(map(_is_scalar, value.values())) and _fits(value)
    return yaml.MappingNode(_TAG + "map", pairs, flow_style=flow)


def _is_scalar(value: Any) -> bool:
    return not isinstance(value, dict | list | tuple) and "\n" not in str(value)


def _fits(value: Any) -> bool:
    return len(msgspec.json.encode(value)) <= _LINE


def _text(value: str, *, is_quoted: bool = False) -> yaml.ScalarNode:
    """Return a text in the first of the styles that say it: plain, as a block, in quotes."""
    if is_quoted or not reads_as_text(value):
        return yaml.ScalarNode(_TAG + "str", value, style='"')
    if "\n" in value and _says(block := yaml.ScalarNode(_TAG + "str", value, style="|"), value):
        return block
    plain = yaml.ScalarNode(_TAG + "str", value)
    return plain if "\n" not in value and _says(plain, value) else _text(value, is_quoted=True)


def _says(node: yaml.ScalarNode, value: str) -> bool:
    """Return whether the text is read from it as it is; blocks leave some blanks out."""
    pair = (yaml.ScalarNode(_TAG + "str", "key"), node)
    outer = yaml.MappingNode(_TAG + "map", [pair], flow_style=False)
    written = yaml.serialize(outer, Dumper=yaml.SafeDumper, allow_unicode=True, width=10**9)
    try:
        (document,) = load_documents(written)
    except Exception:  # noqa: BLE001 - whatever it is, quotes have not got it
        return False
    return bool(document.value == {"key": value})
