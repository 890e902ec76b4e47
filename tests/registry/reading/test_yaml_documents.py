"""YAML 1.2 core schema, with the traps that 1.1 readers fall into."""

from __future__ import annotations

import math

import pytest

from registry.reading.yaml_documents import BadYaml, load_documents


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("010", 10),
        ("0o10", 8),
        ("0xFF", 255),
        ("0x" + "f" * 18, 16**18 - 1),
        ("0x" + "f" * 5000, "0x" + "f" * 5000),
        ("0o" + "7" * 5000, "0o" + "7" * 5000),
        ("9" * 5000, "9" * 5000),
        ("1:30", "1:30"),
        ("1e3", 1000.0),
        ("~", None),
        ("null", None),
        ("True", True),
        (".inf", math.inf),
        ("-.inf", -math.inf),
        ("2026-01-01", "2026-01-01"),
        ("'1'", "1"),
        ("1_000", "1_000"),
    ],
)
def test_plain_scalars_mean_what_the_core_schema_says(text, value):
    (document,) = load_documents(f"a: {text}")

    assert document.value == {"a": value}


def test_every_key_knows_its_line():
    (_, second) = load_documents("a: 1\n---\nb:\n  - c: 1\n    d: 2\n")

    assert second.lines[("b", 0, "d")] == 5


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a: 1\nb: 2\na: 3", 3, "stands twice"),
        ("a: &x 1\nb: *x", 2, "alias"),
        ("a: [1", 1, "malformed"),
        (
            "a:\n\tb: 1",
            2,
            "malformed YAML: a tab at the beginning of the line; indent with spaces.",
        ),
        ("a: b\n\tc: 1", 2, "a tab at the beginning of the line"),
        ("a: @b", 1, "a value cannot begin with '@'; put it in quotes"),
        ("a: 'b", 1, "a quote is not closed"),
        ("a: b: c", 1, "where no key can be"),
        ("a: !!python/object:os.system x", 1, "tag"),
        ("a: !secret x", 1, "tag"),
        ("? [a]\n: 1", 1, "plain word"),
    ],
)
def test_what_hides_meaning_is_refused_with_its_line(text, line, says):
    with pytest.raises(BadYaml, match=says) as caught:
        load_documents(text)

    assert caught.value.line == line


@pytest.mark.parametrize("text", ["a: " + "[" * 500 + "]" * 500, "[" * 100_000, "{a: " * 50_000])
def test_a_hostile_depth_is_refused(text):
    with pytest.raises(BadYaml, match="nested deeper than 40 levels"):
        load_documents(text)


def test_quotes_keep_a_scalar_a_text_and_the_document_remembers_which():
    (document,) = load_documents("a: '1'\nb: 1\nc: |\n  1\n")

    assert document.value == {"a": "1", "b": 1, "c": "1\n"}
    assert document.plain == {("b",)}
