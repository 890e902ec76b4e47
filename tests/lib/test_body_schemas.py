"""A struct that reads a body says in the schema what it takes, in OpenAPI 3.0's words."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from lib.body_schemas import body_of


class Colour(StrEnum):
    RED = "red"


class Part(msgspec.Struct):
    """For developers."""

    view: str


class Body(msgspec.Struct):
    name: str
    colour: Colour | None = None
    days: int | None = None
    parts: list[Part] = []
    note: str | msgspec.UnsetType = msgspec.UNSET


def test_references_are_inlined_and_null_is_nullable():
    part = {"type": "object", "properties": {"view": {"type": "string"}}, "required": ["view"]}

    assert body_of(Body)["application/json"] == {
        "type": "object",
        "additionalProperties": False,
        "required": ["name"],
        "properties": {
            "name": {"type": "string"},
            "colour": {"enum": ["red"], "nullable": True},
            "days": {"type": "integer", "nullable": True},
            "parts": {"type": "array", "items": part, "default": []},
            "note": {"type": "string"},
        },
    }
