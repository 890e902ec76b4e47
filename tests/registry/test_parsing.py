"""Every mistake in a definitions file is named with its file, line, key and value."""

from __future__ import annotations

import pytest

from registry.parsing import InvalidDefinitions, parse_files, parse_objects
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
TWO = VIEW.replace("[{name: x, type: int64}]", "\n  - {name: x, type: int64}\n  - {name: 3}")


@pytest.mark.parametrize(
    ("text", "line", "key", "value", "says"),
    [
        ("kind: Entty\nname: a", 1, "kind", "Entty", "Did you mean 'Entity'"),
        ("kind: [Entity]\nname: a", 1, "kind", '["Entity"]', "unknown kind"),
        ("name: a", 1, "kind", "", "unknown kind None. Valid: Entity, DataSource"),
        ("- 1", 1, "", "", "mapping"),
        ("", 1, "", "", "no definition"),
        # keys
        (ENTITY + "join_key: []", 3, "join_key", "[]", "Did you mean 'join_keys'"),
        (ENTITY, 1, "join_keys", "", "missing required field"),
        (VIEW + "schedule: {evry: 1h}", 6, "schedule.evry", "1h", "'every'"),
        (VIEW.replace("type:", "typ:"), 5, "features[0].typ", "int64", "Did you mean 'type'"),
        (VIEW + "online: yes", 6, "online", "yes", "expected `bool`"),
        # types and words
        ("kind: Entity\nname: 3\njoin_keys: []", 2, "name", "3", "expected `str`, got `int`"),
        (TWO, 7, "features[1].name", "3", "expected `str`, got `int`"),
        (VIEW + "tags: {a: b, c: 1}", 6, "tags.c", "1", "expected `str`, got `int`"),
        (VIEW + SUM, 6, "aggregations[0].functions[1]", "summ", "Valid: sum, count, mean"),
        (SOURCE.replace("file", "kafka"), 3, "type", "kafka", "Valid: file."),
        (
            SOURCE.replace("t\n", "{column: t, unit: h}"),
            5,
            "event_timestamp.unit",
            "h",
            "Valid: timestamp, s, ms, us, ns.",
        ),
        # versions, starts, characters
        (VIEW + "version: 1.0", 6, "version", "1.0", "in quotes"),
        (VIEW + "version: 1.0.0", 6, "version", "1.0.0", "in quotes"),
        (VIEW + "based_on: 2.0.0", 6, "based_on", "2.0.0", "in quotes"),
        (VIEW + "start: yesterday", 6, "start", "yesterday", "RFC3339"),
        (VIEW + "start: 20260101", 6, "start", "20260101", "got `int`"),
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


def test_all_mistakes_of_all_files_come_at_once():
    with pytest.raises(InvalidDefinitions) as caught:
        parse_files([("a.yaml", "kind: Nope"), ("b.yaml", "a: [")])

    assert {problem.file for problem in caught.value.problems} == {"a.yaml", "b.yaml"}


def test_the_same_name_twice_names_the_first_place():
    entity = "kind: Entity\nname: a\njoin_keys: [{name: k, type: int64}]"

    (problem,) = problems_of(f"{entity}\n---\n{entity}")

    assert "already defined at features.yaml:1" in problem.message


def test_json_objects_say_the_same_as_yaml():
    (definition,) = parse_objects(
        [{"kind": "Entity", "name": "a", "join_keys": [{"name": "k", "type": "int64"}]}]
    )

    assert definition.spec.name == "a"
