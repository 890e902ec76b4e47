"""Every mistake in a definitions file is named with its file, line, key and value."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.reading.mending import STAND_INS
from registry.reading.parsing import (
    MAX_PROBLEMS,
    InvalidDefinitions,
    parse_files,
    parse_objects,
)
from tests.factories import DEFINITIONS


def problems_of(text):
    with pytest.raises(InvalidDefinitions) as caught:
        parse_files([("features.yaml", text)])
    return caught.value.problems


def test_a_good_file_becomes_specs_in_the_order_in_which_they_apply():
    kinds = [str(definition.kind) for definition in parse_files([("features.yaml", DEFINITIONS)])]

    assert kinds == ["Entity", "DataSource", "FeatureView"]


ENTITY = "kind: Entity\nname: a\n"
VIEW = "kind: FeatureView\nname: v\nentities: [e]\nsource: s\nfeatures: [{name: x, type: int64}]\n"
SOURCE = "kind: DataSource\nname: s\ntype: file\npath: x.csv\nevent_timestamp: t\n"
SUM = "aggregations: [{column: a, functions: [sum, summ], windows: [3d]}]"
CALL = "aggregations[0].functions[1]"
BODIES = {str(kind): body for kind, body in STAND_INS.items()}
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
WORDS = st.sampled_from(
    [
        "name",
        "type",
        "column",
        "functions",
        "function",
        "k",
        "last_k",
        "windows",
        "every",
        "unit",
        "x",
    ]
)
VALUES = st.recursive(
    SCALARS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
TWO = VIEW.replace("[{name: x, type: int64}]", "\n  - {name: x, type: int64}\n  - {name: 3}")


def calling(function):
    return VIEW + SUM.replace("summ", function)


@pytest.mark.parametrize(
    ("text", "line", "key", "value", "says"),
    [
        ("kind: Entty\nname: a", 1, "kind", "Entty", "Did you mean 'Entity'"),
        ("kind: [Entity]\nname: a", 1, "kind", '["Entity"]', "unknown kind"),
        ("name: a", 1, "kind", "", "`kind` is missing. Valid: Entity, DataSource"),
        ("- 1", 1, "", "", "mapping"),
        ("", 1, "", "", "no definition"),
        # keys
        (ENTITY + "join_key: []", 3, "join_key", "[]", "Did you mean 'join_keys'"),
        (ENTITY, 1, "join_keys", "", "required and missing; write it as in [{name:"),
        (VIEW + "schedule: {evry: 1h}", 6, "schedule.evry", "1h", "'every'"),
        (VIEW.replace("type:", "typ:"), 5, "features[0].typ", "int64", "Did you mean 'type'"),
        (VIEW + "online: yes", 6, "online", "yes", "expected true or false, got text"),
        # types and words
        (
            "kind: Entity\nname: 3\njoin_keys: []",
            2,
            "name",
            "3",
            "expected text, got a number; write it as in cu",
        ),
        (TWO, 7, "features[1].name", "3", "expected text, got a number"),
        (
            SOURCE.replace("path: x.csv", "path: 500"),
            4,
            "path",
            "500",
            'expected text, got a number; put it in quotes, as in "500".',
        ),
        (VIEW + "tags: {a: b, c: 1}", 6, "tags.c", "1", "got a number; put it in quotes."),
        (VIEW + SUM, 6, "aggregations[0].functions[1]", "summ", "Valid: sum, count, mean"),
        (VIEW + SUM.replace("summ", "avg"), 6, "aggregations[0].functions[1]", "avg", "'mean'?"),
        # functions with parameters
        (calling("last_k"), 6, f"{CALL}", "last_k", "write it as in {function: last_k, k: 10}"),
        (calling("{k: 10}"), 6, f"{CALL}.function", "", "required and missing; write it as in la"),
        (calling("{function: sum}"), 6, f"{CALL}.function", "sum", "alone, as in [sum]."),
        (calling("{function: lastk, k: 3}"), 6, f"{CALL}.function", "lastk", "mean 'last_k'?"),
        (calling("{function: [last_k]}"), 6, f"{CALL}.function", '["last_k"]', "Valid: sum, count"),
        (calling("{function: last_k}"), 6, f"{CALL}.k", "", "required and missing; write it as in"),
        (calling("{function: last_k, k: 1, p: 2}"), 6, f"{CALL}.p", "2", "unknown key 'p'"),
        (calling("{function: last_k, k: ten}"), 6, f"{CALL}.k", "ten", "from 1 to 1000, got text"),
        (calling("{function: last_k, k: true}"), 6, f"{CALL}.k", "true", "a whole number from 1"),
        (calling("{function: last_k, k: 2.5}"), 6, f"{CALL}.k", "2.5", "a whole number from 1"),
        (calling("{function: last_k, k: 0}"), 6, f"{CALL}.k", "0", "from 1 to 1000, got 0; write"),
        (
            calling("{function: last_k, k: 1001}"),
            6,
            f"{CALL}.k",
            "1001",
            "from 1 to 1000, got 1001",
        ),
        (calling("{function: percentile, p: -1}"), 6, f"{CALL}.p", "-1", "from 0 to 100, got -1"),
        (calling("{function: percentile, p: .nan}"), 6, f"{CALL}.p", "null", "100, got nan"),
        (VIEW.replace("[e]", "e"), 3, "entities", "e", "got text; write a list, as in [e]."),
        (
            VIEW.replace("[{", "{").replace("}]", "}"),
            5,
            "features",
            '{"name":"x","type":"int64"}',
            "expected a list, got a mapping; write it as in [{name: amount",
        ),
        (
            VIEW + "schedule: hourly",
            6,
            "schedule",
            "hourly",
            "got text; write it as in {every: 1h}",
        ),
        (VIEW + "ttl: 30", 6, "ttl", "30", "expected text, got a number; write it as in 30d."),
        (SOURCE.replace("file", "kinesis"), 3, "type", "kinesis", "Valid: file, "),
        (
            SOURCE.replace("t\n", "{column: t, unit: h}"),
            5,
            "event_timestamp.unit",
            "h",
            "Valid: timestamp, s, ms, us, ns.",
        ),
        # versions, starts, characters
        (VIEW + "version: 1.0", 6, "version", "1.0", 'in quotes, as three numbers: "1.0.0".'),
        (VIEW + "version: 1.0.0", 6, "version", "1.0.0", 'numbers: "1.0.0".'),
        (VIEW + "version: true", 6, "version", "true", 'numbers: "1.0.0".'),
        (VIEW + "based_on: 2.0.0", 6, "based_on", "2.0.0", "in quotes"),
        (
            VIEW + "start: yesterday",
            6,
            "start",
            "yesterday",
            "a day or an instant, got text; write it as in 2026-01-01",
        ),
        (
            VIEW + "start: 20260101",
            6,
            "start",
            "20260101",
            "got a number; write it as in 2026-01-01",
        ),
        (VIEW + 'description: "a\\0b"', 6, "description", "a\ufffdb", "cannot be stored"),
        (VIEW + 'tags: {a: "\\0"}', 6, "tags.a", "\ufffd", "cannot be stored"),
    ],
)
def test_a_mistake_is_named_where_it_stands(text, line, key, value, says):
    problem = problems_of(text)[0]

    assert (problem.file, problem.line, problem.key, problem.value) == (
        "features.yaml",
        line,
        key,
        value,
    )
    assert says in problem.message


MANY_MISTAKES = """\
kind: FeatureView
name: orders
entities: customer_store
source: s
features:
  - {name: a, type: float}
  - {name: b, type: "decimal(40,2)"}
  - {name: c, type: list}
  - {name: d, type: boolean}
  - {name: e, typ: int64}
ttl: 30
schedule: hourly
version: 1.0
sql: SELECT a FROM other
"""


def test_all_mistakes_of_one_document_come_at_once():
    """What breaks a rule is told beside what cannot be read; what hangs on the latter is not."""
    assert [(problem.key, problem.line) for problem in problems_of(MANY_MISTAKES)] == [
        ("entities", 3),
        ("features[0].type", 6),
        ("features[1].type", 7),
        ("features[2].type", 8),
        ("features[3].type", 9),
        ("features[4].typ", 10),
        ("ttl", 11),
        ("schedule", 12),
        ("version", 13),
        ("sql", 14),
    ]


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (
            SOURCE.replace("type: file\npath: x.csv", "type: kinesis\npath: x.xlsx"),
            ["type", "path"],
        ),
        (SOURCE.replace("event_timestamp: t", "created_timestamp: t"), ["event_timestamp"]),
        (VIEW.replace("source", "sorce") + "sql: SELECT x FROM s", ["sorce"]),
        (VIEW.replace("features", "feature") + SUM.replace(", summ", ""), ["schedule", "feature"]),
        (VIEW + SUM + "\nttl: 0d", ["aggregations[0].functions[1]", "ttl"]),
        (
            ENTITY + "join_keys: [1, {name: k, type: float64}]",
            ["join_keys[0]", "join_keys[1].type"],
        ),
        ("kind: FeatureService\nname: m\nfeatures: [1, wrong]", ["features[0]", "features[1]"]),
    ],
)
def test_what_hangs_on_a_part_that_cannot_be_read_is_not_judged(text, keys):
    assert [problem.key for problem in problems_of(text)] == keys


@pytest.mark.parametrize("odd", [["\x00"], [{"column": "\x00"}], {"column": ["\x00"]}])
def test_a_list_where_one_thing_is_wanted_is_told(odd):
    body = {"kind": "DataSource", "name": "a", "type": "file", "event_timestamp": odd}
    with pytest.raises(InvalidDefinitions, match="event_timestamp"):
        parse_objects([body])


@settings(max_examples=300)
@given(st.sampled_from(list(BODIES)), st.data())
def test_no_document_is_too_odd_to_be_told_what_is_wrong(kind, data):
    """Whatever stands in a known key, it is read or refused, and never ends in another error."""
    keys = st.sampled_from([*BODIES[kind], "ttl", "sql", "aggregations", "tags", "version", "odd"])
    body = BODIES[kind] | data.draw(st.dictionaries(keys, VALUES, min_size=1, max_size=4))

    with suppress(InvalidDefinitions):
        parse_objects([{"kind": kind, **body}])


def test_all_mistakes_of_all_files_come_at_once():
    with pytest.raises(InvalidDefinitions) as caught:
        parse_files([("a.yaml", "kind: Nope"), ("b.yaml", "a: [")])

    assert {problem.file for problem in caught.value.problems} == {"a.yaml", "b.yaml"}


@pytest.mark.parametrize(
    "text",
    [
        "---\n".join(["kind: Entity\n"] * 5000),
        "kind: Entity\n" + "".join(f"key_{number}: 1\n" for number in range(5000)),
        "kind: FeatureView\nfeatures:\n" + "  - {nome: a}\n" * 5000,
    ],
    ids=["documents", "keys", "items"],
)
def test_a_text_of_nothing_but_mistakes_is_left_after_some(text):
    found = problems_of(text)

    assert len(found) == MAX_PROBLEMS + 1
    assert "there may be more" in found[-1].message


def test_the_same_name_twice_names_the_first_place():
    entity = "kind: Entity\nname: a\njoin_keys: [{name: k, type: int64}]"

    (problem,) = problems_of(f"{entity}\n---\n{entity}")

    assert "already defined at features.yaml:1" in problem.message


def test_json_objects_say_the_same_as_yaml():
    (definition,) = parse_objects(
        [{"kind": "Entity", "name": "a", "join_keys": [{"name": "k", "type": "int64"}]}]
    )

    assert definition.spec.name == "a"
