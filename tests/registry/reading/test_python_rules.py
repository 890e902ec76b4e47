"""How a view names its Python function, and what columns that has to give."""

from __future__ import annotations

import pytest

from registry.reading.parsing import parse_objects
from registry.reading.writing import document_of
from registry.spec.python_code import PythonCall
from tests.registry.reading.test_rules import VIEW, problems

FEATURES = [{"name": "x", "type": "int64"}]


def view(python, *features):
    return VIEW | {"python": python, "features": list(features) or FEATURES}


def test_a_name_alone_is_a_function_that_is_given_everything():
    (read,) = parse_objects([view("words.tone:by_words")])
    (said,) = parse_objects([view({"function": "words.tone:by_words", "columns": ["a"]})])

    assert read.spec.python == PythonCall(function="words.tone:by_words")
    assert said.spec.python.columns == ("a",)
    for each in (read, said):
        (again,) = parse_objects([document_of(each.kind, each.spec)])
        assert again.spec == each.spec


ENCODED = {"name": "y", "type": "float64", "column": "x"}
WRONG = {
    "words": ("python.function", "'words' is no function; write it as package.module:function."),
    "words:a.b": ("python.function", "'words:a.b' is no function"),
    "os;import:x": ("python.function", "is no function"),
    "../words:x": ("python.function", "is no function"),
    "w" * 400: ("python.function", "400 characters; a function's name has at most 300."),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_function_is_said(name):
    ((path, message),) = problems(view(name))

    assert path == WRONG[name][0]
    assert WRONG[name][1] in message


def test_columns_that_are_one_to_an_engine_are_said():
    ((path, message),) = problems(view({"function": "w:x", "columns": ["Text", "text"]}))
    assert path.startswith("python.columns")
    features = [
        {"name": "a", "type": "int64", "column": "A"},
        {"name": "b", "type": "int64", "column": "a"},
    ]
    ((path, message),) = problems(view("w:x", *features))

    assert (path, message) == (
        "features[1].name", "a and A are one column to the engine; call them otherwise.",
    )  # fmt: skip


@pytest.mark.parametrize(
    "other",
    [
        {"name": "y", "type": "float64", "column": "x"},
        {"name": "y", "type": "string", "column": "x", "mask": "hash"},
        {"name": "y", "type": "int32", "column": "x", "mask": {"bucket": [1]}},
        {"name": "y", "type": "float64", "column": "x", "encode": {"steps": [{"step": "log"}]}},
    ],
)
def test_a_column_is_given_as_one_type(other):
    ((path, message),) = problems(view("w:x", *FEATURES, other))

    assert path == "features[1].column"
    assert "have the function give it twice, under two names" in message


def test_several_features_may_be_made_of_one_column_as_one_type():
    encoded = {
        "name": "y",
        "type": "float64",
        "column": "x",
        "encode": {"steps": [{"step": "log"}]},
    }

    assert problems(view("w:x", {"name": "x", "type": "float64"}, encoded)) == []
    assert [path for path, _ in problems(view("w:x", encoded | {"encode": {"steps": []}}))] == [
        "features[0].encode.steps"
    ]


def test_it_is_instead_of_sql_and_aggregations():
    both = view("w:x") | {"sql": "SELECT k, t, x FROM s"}

    assert any("not both" in message for _, message in problems(both))
