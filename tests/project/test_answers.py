"""That answers are held to the schema, by the one check that all tests have."""

from __future__ import annotations

import json

import pytest

from lib.answer_schemas import hoisted
from tests.answers import wrong_with

READ = {"read": 3}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (READ, None),
        ({}, "'read' is a required property"),
        ({"read": "3"}, "is not of type 'integer'"),
        ({"read": None}, "is not of type 'integer'"),
        ({"read": 3, "more": 1}, "'more' was unexpected"),
    ],
)
def test_what_an_answer_lacks_or_has_too_much_is_named(body, says):
    found = wrong_with("POST", "/api/v1/notifications/read", 200, json.dumps(body).encode())

    assert [says in each for each in found] == ([] if says is None else [True])


def test_what_the_schema_does_not_say_at_all_is_named_too():
    path = "/api/v1/notifications/read"

    assert wrong_with("POST", path, 200, b'{"read": 3}') == []
    for method, status in (("POST", 201), ("DELETE", 200)):
        (found,) = wrong_with(method, path, status, b"{}")
        assert "the schema says nothing" in found


@pytest.mark.parametrize("at", ["soon", "2026-11-27", 12])
def test_an_instant_is_one(at):
    line = {"id": 1, "kind": "k", "project": None, "says": "s", "subject": "s", "read_at": None}
    page = {"count": 1, "next": None, "previous": None, "results": [line | {"at": at}]}

    (found,) = wrong_with("GET", "/api/v1/notifications", 200, json.dumps(page).encode())

    assert "results.0.at" in found


def test_two_kinds_of_answers_have_two_names():
    components = {}
    one = {"$ref": "#/components/schemas/A", "$defs": {"A": {"type": "object"}}}

    assert hoisted(one, components) == {"$ref": "#/components/schemas/A"}
    assert hoisted(one, components) == {"$ref": "#/components/schemas/A"}
    assert components == {"A": {"type": "object"}}
    with pytest.raises(ValueError, match="two kinds of answers are called A"):
        hoisted({**one, "$defs": {"A": {"type": "string"}}}, components)
