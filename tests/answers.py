"""Every answer that any test is given is held to what the schema says of it.

The schema as it is in the snapshot; and nothing may stand in an answer that it does not say.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator, FormatChecker

from tests.servers import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

SNAPSHOT = ROOT / "tests" / "snapshots" / "openapi.json"
#: What else there is to say of these depends on what they are of.
OPEN = {"DataSourceAnswer", "StepAnswer"}
#: Longer answers take longer to look through than to make.
MOST_BYTES = 50_000
_REFERENCE = re.compile(r"\{\w+\}")
_formats = FormatChecker(formats=())


@_formats.checks("date-time", raises=ValueError)
def _is_instant(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


def wrong_with(method: str, path: str, status: int, body: bytes) -> list[str]:
    """Return what of a JSON answer is not as the schema says."""
    validator = _validator(method.lower(), path, status)
    if validator is None:
        return [f"{method} {path} answers {status}, of which the schema says nothing"]
    return [
        f"{method} {path} {status}: {'.'.join(map(str, each.absolute_path))}: {each.message[:300]}"
        for each in validator.iter_errors(json.loads(body))
    ]


@cache
def _schema() -> dict[str, Any]:
    whole: dict[str, Any] = json.loads(SNAPSHOT.read_text())
    whole["components"]["schemas"] = {
        name: _strict(said, closes=name not in OPEN)
        for name, said in whole["components"]["schemas"].items()
    }
    return whole


@cache
def _operations() -> dict[str, list[tuple[re.Pattern[str], str]]]:
    """Return the addresses of each method; those that name most themselves come first."""
    found: dict[str, list[tuple[re.Pattern[str], str]]] = {}
    for path, operations in _schema()["paths"].items():
        named = "[^/]+".join(map(re.escape, _REFERENCE.split(path)))
        for method in operations:
            found.setdefault(method, []).append((re.compile(named), path))
    for each in found.values():
        each.sort(key=lambda one: one[1].count("{"))
    return found


def _validator(method: str, path: str, status: int) -> Draft202012Validator | None:
    fitting = (at for named, at in _operations().get(method, ()) if named.fullmatch(path))
    return _validator_at(method, next(fitting, ""), status)


@cache
def _validator_at(method: str, path: str, status: int) -> Draft202012Validator | None:
    responses = _schema()["paths"].get(path, {}).get(method, {}).get("responses", {})
    content = responses.get(str(status), {}).get("content", {})
    if "application/json" not in content:
        return None
    schema = _strict(content["application/json"]["schema"], closes=True)
    whole = {**schema, "components": _schema()["components"]}
    return Draft202012Validator(whole, format_checker=_formats)


def _strict(schema: Any, *, closes: bool) -> Any:
    """Return a schema of OpenAPI 3.0 as JSON Schema has it, of objects without other keys."""
    if isinstance(schema, list):
        return [_strict(each, closes=closes) for each in schema]
    if not isinstance(schema, dict):
        return schema
    said = dict(_parts(schema, closes=closes))
    if closes and said.get("properties"):
        said.setdefault("additionalProperties", False)
    if schema.get("nullable"):
        return {"anyOf": [said, {"type": "null"}]}
    return said


def _parts(schema: dict[str, Any], *, closes: bool) -> Iterator[tuple[str, Any]]:
    for key, value in schema.items():
        if key == "properties":
            yield key, {name: _strict(each, closes=closes) for name, each in value.items()}
        elif key not in ("nullable", "example"):
            yield key, _strict(value, closes=closes)
