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


VIEW = "kind: FeatureView\nname: v\nentities: [e]\nsource: s\nfeatures: [{name: x, type: int64}]\n"


@pytest.mark.parametrize(
    ("text", "line", "key", "value", "says"),
    [
        ("kind: Entty\nname: a", 1, "kind", "Entty", "Did you mean 'Entity'"),
        ("name: a", 1, "kind", "", "unknown kind None"),
        ("kind: Entity\nname: a\njoin_key: []", 3, "join_key", "[]", "Did you mean 'join_keys'"),
        ("kind: Entity\nname: a", 1, "join_keys", "", "missing required field"),
        ("kind: Entity\nname: 3\njoin_keys: []", 2, "name", "3", "expected `str`, got `int`"),
        ("kind: Entity\nname: A b\njoin_keys: [{name: k, type: int64}]", 2, "name", "A b", "lower-case"),
        ("kind: Entity\nname: a\njoin_keys: []", 3, "join_keys", "[]", "at least one"),
        ("kind: Entity\nname: a\njoin_keys: [{name: k, type: int63}]", 3, "join_keys[0].type", "int63", "'int64'"),
        ("kind: Entity\nname: a\njoin_keys: [{name: k, type: float64}]", 3, "join_keys[0].type", "float64", "cannot identify"),
        (VIEW + "version: 1.0", 6, "version", "1.0", "in quotes"),
        (VIEW + "version: 1.0.0", 6, "version", "1.0.0", "in quotes"),
        (VIEW + 'version: "1.0"', 6, "version", "1.0", "three numbers"),
        (VIEW + "ttl: 30 days", 6, "ttl", "30 days", "as in 30d"),
        (VIEW + "ttl: 0d", 6, "ttl", "0d", "above zero"),
        (VIEW + "schedule: {evry: 1h}", 6, "schedule.evry", "1h", "'every'"),
        (VIEW + "schedule: {every: 1h, cron: '* * * * *'}", 6, "schedule", '{"every":"1h","cron":"* * * * *"}', "either"),
        (VIEW + "schedule: {cron: '61 * * * *'}", 6, "schedule.cron", "61 * * * *", "five fields"),
        (VIEW + "sql: SELECT count(*) FROM s", 6, "sql", "SELECT count(*) FROM s", "use `aggregations`"),
        (VIEW + "sql: SELECT * FROM other", 6, "sql", "SELECT * FROM other", "only table is the source"),
        (VIEW + "aggregations: [{column: a, functions: [sum], windows: [3d]}]\nschedule: {every: 1h}", 5, "features[0].name", "x", "a_sum_3d"),
        (VIEW + "aggregations: [{column: a, functions: [summ], windows: [3d]}]", 6, "aggregations[0].functions[0]", "summ", "enum value"),
        ("kind: DataSource\nname: s\ntype: file\npath: ../x.csv\nevent_timestamp: t", 4, "path", "../x.csv", "leaves the project's roots"),
        ("kind: DataSource\nname: s\ntype: file\npath: x.txt\nevent_timestamp: t", 4, "path", "x.txt", ".parquet"),
        ("kind: FeatureService\nname: s\nfeatures: ['a@x:b']", 3, "features[0]", "a@x:b", "view@1.2.0:feature"),
        ("- 1", 1, "", "", "mapping"),
        ("", 1, "", "", "no definition"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_where_it_stands(text, line, key, value, says):
    problem = problems_of(text)[0]

    assert (problem.file, problem.line, problem.key, problem.value) == ("features.yaml", line, key, value)
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
    (definition,) = parse_objects([{"kind": "Entity", "name": "a", "join_keys": [{"name": "k", "type": "int64"}]}])

    assert definition.spec.name == "a"
