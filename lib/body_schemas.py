"""JSON bodies in the OpenAPI schema, from the structs that read them: said once, so always true.

[pure] Not for reading bodies (``bodies``); bodies that are no struct say theirs beside the view.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

TEXT: dict[str, Any] = {"type": "string"}
TEXTS: dict[str, Any] = {"type": "array", "items": TEXT}
INSTANT: dict[str, Any] = {"type": "string", "format": "date-time"}
WHOLE: dict[str, Any] = {"type": "integer"}
YES_OR_NO: dict[str, Any] = {"type": "boolean"}
#: What msgspec says for itself: a class's name and its words to developers.
_NOT_FOR_CALLERS = {"title", "description"}


def body_of(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return what ``extend_schema(request=…)`` takes for a JSON body that is read as ``kind``."""
    whole = msgspec.json.schema(kind)
    schema = _inlined(whole, whole.get("$defs", {}))
    return {"application/json": schema | {"additionalProperties": False}}


def object_of(required: tuple[str, ...] = (), /, **properties: dict[str, Any]) -> dict[str, Any]:
    """Return the same for a body of these properties, each with its schema."""
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        schema["required"] = list(required)
    return {"application/json": schema | {"additionalProperties": False}}


def with_nullable(schema: Any) -> Any:
    """Return a schema of msgspec's as OpenAPI 3.0 says it: null is ``nullable``."""
    return _inlined(schema, {}, keeps=("description",))


def _inlined(schema: Any, named: Mapping[str, Any], *, keeps: tuple[str, ...] = ()) -> Any:
    """Return a schema without references to ``named``, and null as OpenAPI 3.0 says it.

    ``keeps``: of what is said to developers that is for callers too.
    """
    if isinstance(schema, list):
        return [_inlined(each, named, keeps=keeps) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema and (of := named.get(schema["$ref"].rpartition("/")[2])) is not None:
        return _inlined(of, named, keeps=keeps)
    said = {
        key: {name: _inlined(each, named, keeps=keeps) for name, each in value.items()}
        if key == "properties"
        else _inlined(value, named, keeps=keeps)
        for key, value in schema.items()
        if key not in _NOT_FOR_CALLERS.difference(keeps) | {"$defs"}
    }
    kinds = said.get("anyOf", [])
    if {"type": "null"} in kinds:
        rest = [each for each in kinds if each != {"type": "null"}]
        other = {key: value for key, value in said.items() if key not in ("anyOf", "default")}
        one = rest[0] if len(rest) == 1 else {"anyOf": rest}
        # Beside a reference nothing counts.
        one = {"allOf": [one]} if "$ref" in one else one
        return {**one, **other, "nullable": True}
    return said
