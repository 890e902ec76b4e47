"""What a well-formed definition must also satisfy, rule by rule."""

from __future__ import annotations

import pytest

from registry.reading.parsing import InvalidDefinitions, parse_objects
from registry.spec.value_types import UnknownType, parse_type

KEY = {"name": "k", "type": "int64"}
ENTITY = {"kind": "Entity", "name": "a", "join_keys": [KEY]}
SOURCE = {
    "kind": "DataSource",
    "name": "s",
    "type": "file",
    "path": "data/*.parquet",
    "event_timestamp": "t",
}
TABLE = SOURCE | {"type": "delta", "path": "lake/t", "connection": "lake"}
FEATURE = {"name": "x", "type": "int64"}
VIEW = {
    "kind": "FeatureView",
    "name": "v",
    "entities": ["e"],
    "source": "s",
    "features": [FEATURE],
}
SERVICE = {"kind": "FeatureService", "name": "m", "features": ["v:x"]}
SUM = [{"column": "a", "functions": ["sum"], "windows": ["3d"]}]


def problems(definition) -> list[tuple[str, str]]:
    try:
        parse_objects([definition])
    except InvalidDefinitions as exc:
        return [(problem.key, problem.message) for problem in exc.problems]
    return []


def many(count, **columns):
    """Return ``count`` dicts with names of their own."""
    return [columns | {"name": f"n{number}"} for number in range(count)]


def feature(**columns):
    return VIEW | {"features": [FEATURE | columns]}


CHECKS = "features[0].checks"


def condition(sql, name="c"):
    return {"conditions": {name: sql}}


LAST_2 = {"function": "last_k", "k": 2}


def summing(column="a_sum_3d", **aggregation):
    return aggregated(column, aggregations=[SUM[0] | aggregation])


def deriving(sql, **columns):
    """Return a view of the aggregate ``x`` and of ``y``, which is derived of it."""
    view = aggregated()
    derived = {"name": "y", "type": "float64", "sql": sql} | columns
    return view | {"features": [*view["features"], derived]}


def aggregated(column="a_sum_3d", **columns):
    return feature(column=column) | {"aggregations": SUM, "schedule": {"every": "1h"}} | columns


@pytest.mark.parametrize(
    "definition",
    [
        ENTITY,
        ENTITY | {"join_keys": [{"name": "Driver_ID", "type": "string"}, KEY]},
        SOURCE,
        SOURCE | {"created_timestamp": {"column": "c", "unit": "ms"}},
        SOURCE | {"path": "**/day=*/*.parquet"},
        VIEW,
        VIEW | {"start": "1912-04-14", "ttl": "36525d", "version": "0.1.0"},
        VIEW | {"sql": "SELECT k, t, a + 1 AS x FROM s"},
        VIEW | {"schedule": {"cron": "15 * * * 1-5"}},
        VIEW | {"freshness": "2h"},
        VIEW | {"checks": {"rows": {"min": 1}, "newest": "2h", **condition("x > 0 or e is null")}},
        VIEW | {"checks": {"warn": {"rows": {"min": 5, "max": 5}, **condition("x < 9")}}},
        feature(checks={"drift": {"psi": 0.2, "ks": 0.1, "js": 0.1, "mean": 3, "min_rows": 10}}),
        feature(type="json", checks={"drift": {"null_share": 0.05, "against": "both"}}),
        feature(type="string", checks={"regex": "[A-Z]{3}", "length": {"max": 3}, "unique": True}),
        feature(type="list<int64>", checks={"warn": {"length": {"min": 1}, "not_null": 0.5}}),
        feature(type="decimal(38,38)", checks={"min": -0.5, "max": "0.25", "not_null": 1}),
        feature(type="float32", checks={"min": 0.1, "max": 2**30}),
        feature(type="decimal(38,2)", checks={"max": "123456789012345678901234567890.120"}),
        feature(type="int64", checks={"min": -(2**63), "max": 2**63 - 1, "allowed": [1, -1]}),
        feature(type="string", checks={"allowed": ["a", "b"]}),
        aggregated(),
        aggregated(ttl="1h"),
        aggregated("paid_sum_3d", where="b > 0", aggregations=[SUM[0], SUM[0] | {"name": "paid"}]),
        summing(where="status = 'paid'"),
        summing("a_sum_unbounded", windows=["3d", "unbounded"]),
        deriving("x / nullif(x, 0)"),
        VIEW | {"where": "status = 'paid'"},
        SERVICE,
        SERVICE | {"features": ["v@1.2.0:x", "v@v2:*"]},
    ],
)
def test_what_is_well_formed(definition):
    assert problems(definition) == []


@pytest.mark.parametrize("name", ["", "A", "1a", "a-b", "a b", "ä", "x" * 64, "a__b", "explain"])
@pytest.mark.parametrize("definition", [ENTITY, SOURCE, VIEW, SERVICE])
def test_a_name_that_cannot_be_one(definition, name):
    ((key, message),) = problems(definition | {"name": name})

    assert key == "name"
    assert repr(name) in message


@pytest.mark.parametrize(
    ("function", "kind", "few"),
    [
        ("mean", "int64", "whole"),
        ("stddev", "int32", "whole"),
        ({"function": "percentile", "p": 50}, "int64", "whole"),
        ("mean", "decimal(10,2)", "a decimal of so many digits"),
        ({"function": "approx_percentile", "p": 50}, "float32", "a float32"),
        ({"function": "approx_percentile", "p": 50}, "int64", None),
        ("mean", "float64", None),
        ("sum", "int64", None),
    ],
)
def test_what_a_function_gives_is_of_the_declared_type(function, kind, few):
    name = function if isinstance(function, str) else f"{function['function']}_50"
    aggregations = [{"column": "a", "functions": [function], "windows": ["3d"]}]
    features = [{"name": "a", "column": f"a_{name}_3d", "type": kind}]
    found = problems(
        VIEW | {"aggregations": aggregations, "schedule": {"every": "1h"}, "features": features}
    )

    said = f"{name.removesuffix('_50')} gives a float64, and few of those are {few}; write float64."
    assert found == ([] if few is None else [("features[0].type", said)])


@pytest.mark.parametrize(
    ("definition", "key", "says"),
    [
        (ENTITY | {"join_keys": []}, "join_keys", "at least one"),
        (ENTITY | {"join_keys": [KEY | {"type": "int63"}]}, "join_keys[0].type", "'int64'"),
        (ENTITY | {"join_keys": [KEY | {"type": "float64"}]}, "join_keys[0].type", "Valid: bool"),
        (ENTITY | {"join_keys": [KEY | {"name": "a-b"}]}, "join_keys[0].name", "letters, digits"),
        (
            ENTITY | {"join_keys": [KEY | {"name": "Timing"}]},
            "join_keys[0].name",
            "taken are event_timestamp",
        ),
        (ENTITY | {"join_keys": [KEY, KEY | {"name": "K"}]}, "join_keys[1]", "stands twice"),
        (ENTITY | {"owner": "x" * 201}, "owner", "at most 200"),
        (ENTITY | {"join_keys": many(17, **KEY)}, "join_keys", "17 join keys; at most 16"),
        (ENTITY | {"tags": {f"t{i}": "" for i in range(101)}}, "tags", "101 tags; at most 100"),
        (ENTITY | {"tags": {"a\x00": ""}}, "tags", "NUL"),
        (SOURCE | {"path": " "}, "path", "name a file or a glob"),
        (SOURCE | {"path": "x.txt"}, "path", ".parquet, .csv"),
        (SOURCE | {"path": "../x.csv"}, "path", "leaves its root"),
        (SOURCE | {"path": "/data/x.csv"}, "path", "write it relative to the root's directory"),
        (SOURCE | {"path": "~/x.csv"}, "path", "leaves its root"),
        (SOURCE | {"path": "s3://bucket/x.csv"}, "path", "leaves its root"),
        (SOURCE | {"path": "**/a/**/*.csv"}, "path", "** more than once"),
        (SOURCE | {"path": "x" * 497 + ".csv"}, "path", "501 characters"),
        (TABLE | {"root": "sales"}, "root", "leave one out"),
        (TABLE | {"connection": "s3://far/lake"}, "connection", "names no connection"),
        (SOURCE | {"created_timestamp": "t"}, "created_timestamp", "leave it out"),
        (VIEW | {"entities": []}, "entities", "at least one entity"),
        (VIEW | {"entities": ["e", "e"]}, "entities[1]", "stands twice"),
        (VIEW | {"entities": [f"e{i}" for i in range(17)]}, "entities", "17 entities"),
        (VIEW | {"features": []}, "features", "at least one feature"),
        (VIEW | {"features": many(501, type="wrong")}, "features", "501 features; at most 500"),
        (VIEW | {"features": [FEATURE, FEATURE]}, "features[1]", "stands twice"),
        (VIEW | {"version": "1.0"}, "version", "three numbers"),
        (VIEW | {"version": "1.02.0"}, "version", "three numbers"),
        (VIEW | {"based_on": "latest"}, "based_on", "three numbers"),
        (VIEW | {"start": "0001-01-01T00:00:00+02:00"}, "start", "1000 to 9000"),
        (VIEW | {"ttl": "30 days"}, "ttl", "as in 30d"),
        (VIEW | {"ttl": "0d"}, "ttl", "above zero"),
        (feature(checks={"regex": "a"}, type="int64"), f"{CHECKS}.regex", "no text"),
        (feature(checks={"regex": "a" * 1001}, type="string"), f"{CHECKS}.regex", "at most 1000"),
        (
            feature(checks={"warn": {"regex": ""}}, type="string"),
            f"{CHECKS}.warn.regex",
            "use `length`",
        ),
        (feature(checks={"length": {"min": 1}}, type="json"), f"{CHECKS}.length", "no length"),
        (feature(checks={"length": {}}, type="string"), f"{CHECKS}.length", "bounds nothing"),
        (feature(checks={"length": {"min": 0}}, type="string"), f"{CHECKS}.length.min", "1 to"),
        (
            feature(checks={"length": {"min": 3, "max": 2}}, type="string"),
            f"{CHECKS}.length.min",
            "nothing fits",
        ),
        (feature(checks={"not_null": 0}), f"{CHECKS}.not_null", "more than 0"),
        (feature(checks={"drift": {}}), f"{CHECKS}.drift", "asks for nothing"),
        (feature(checks={"drift": {"psi": 0}}), f"{CHECKS}.drift.psi", "0.02 or more"),
        (feature(checks={"drift": {"ks": 1}}), f"{CHECKS}.drift.ks", "less than 1"),
        (feature(checks={"drift": {"ks": float("nan")}}), f"{CHECKS}.drift.ks", "less than 1"),
        (feature(checks={"drift": {"null_share": 0}}), f"{CHECKS}.drift.null_share", "or more"),
        (feature(checks={"drift": {"ks": 0.1}}, type="string"), f"{CHECKS}.drift.ks", "psi, js"),
        (feature(checks={"drift": {"psi": 0.1}}, type="json"), f"{CHECKS}.drift.psi", "null_share"),
        (feature(checks={"drift": {"mean": 1}}, type="date"), f"{CHECKS}.drift.mean", "not meas"),
        (
            feature(checks={"drift": {"psi": 0.1, "min_rows": 1}}),
            f"{CHECKS}.drift.min_rows",
            "10 to",
        ),
        (
            feature(checks={"drift": {"psi": 0.1, "against": "last"}}),
            f"{CHECKS}.drift.against",
            "baseline",
        ),
        (feature(checks={"warn": {"min": 0}}, type="date"), f"{CHECKS}.warn.min", "no order"),
        (VIEW | {"checks": {"rows": {"max": 0}}}, "checks.rows.max", "1 to"),
        (VIEW | {"checks": {"rows": {"min": -1}}}, "checks.rows.min", "-1 rows"),
        (VIEW | {"checks": {"newest": "0h"}}, "checks.newest", "above zero"),
        (VIEW | {"checks": {"warn": {"newest": "soon"}}}, "checks.warn.newest", "as in 30d"),
        (VIEW | {"checks": condition("sum(x) > 1")}, "checks.conditions.c", "several rows"),
        (VIEW | {"checks": condition("x >")}, "checks.conditions.c", "cannot be parsed"),
        (VIEW | {"checks": condition("now() > x")}, "checks.conditions.c", "allowed"),
        (VIEW | {"checks": condition("x > 1", "No Name")}, "checks.conditions.No Name", "letters"),
        (
            VIEW | {"checks": {"conditions": {f"c{n}": "x" for n in range(51)}}},
            "checks.conditions",
            "51 conditions",
        ),
        (VIEW | {"freshness": "0h"}, "freshness", "above zero"),
        (VIEW | {"freshness": "two hours"}, "freshness", "as in 30d"),
        (VIEW | {"ttl": "999999w"}, "ttl", "at most 100 years"),
        (VIEW | {"schedule": {}}, "schedule", "either {every: 1h} or"),
        (VIEW | {"schedule": {"every": "1h", "cron": "* * * * *"}}, "schedule", "either"),
        (VIEW | {"schedule": {"every": "1y"}}, "schedule.every", "as in 30d"),
        (VIEW | {"schedule": {"every": " " * 12 + "1h"}}, "schedule.every", "14 characters"),
        (VIEW | {"schedule": {"cron": "61 * * * *"}}, "schedule.cron", "five fields"),
        (VIEW | {"schedule": {"cron": "1," * 40 + "1 * * * *"}}, "schedule.cron", "at most 64"),
        (VIEW | {"schedule": {"cron": "* * * * * *"}}, "schedule.cron", "five fields"),
        (VIEW | {"sql": "SELECT count(*) AS n FROM s"}, "sql", "use `aggregations`"),
        (VIEW | {"sql": "SELECT * FROM other"}, "sql", "only table is the source"),
        (feature(type="list<" * 500), "features[0].type", "unknown type"),
        (feature(type="vector<0>"), "features[0].type", "1 to 65536"),
        (feature(type="decimal(39,1)"), "features[0].type", "precision is 1 to 38"),
        (feature(name="event_timestamp"), "features[0].name", "reserved"),
        (feature(name="file_row_number"), "features[0].name", "reserved"),
        (feature(checks={"not_null": 99}), "features[0].checks.not_null", "0 to 1"),
        (feature(checks={"min": 2, "max": 1}), "features[0].checks.min", "no value fits"),
        (feature(type="string", checks={"max": 1}), "features[0].checks.max", "has no order"),
        (feature(type="int64", checks={"max": 0.5}), "features[0].checks.max", "a whole number"),
        (feature(type="int64", checks={"min": 2**63}), "features[0].checks.min", "-9223372036854"),
        (feature(type="int32", checks={"min": -(2**31) - 1}), "features[0].checks.min", "int32"),
        (feature(type="int64", checks={"min": "1"}), "features[0].checks.min", "without quotes"),
        (feature(type="float64", checks={"max": 2**53 + 1}), "features[0].checks.max", "nearest"),
        (feature(type="float32", checks={"max": 2**24 + 1}), "features[0].checks.max", "16777216"),
        (feature(type="float32", checks={"max": 1e39}), "features[0].checks.max", "beyond every"),
        (feature(type="decimal(5,2)", checks={"max": 0.125}), "features[0].checks.max", "behind"),
        (feature(type="decimal(5,2)", checks={"max": 1000}), "features[0].checks.max", "before"),
        (
            feature(type="decimal(38,20)", checks={"max": 0.1234567890123456}),
            "features[0].checks.max",
            "put the number in quotes",
        ),
        (
            feature(type="decimal(5,2)", checks={"max": "x"}),
            "features[0].checks.max",
            "not a number",
        ),
        (
            feature(type="int64", checks={"allowed": ["a"]}),
            "features[0].checks.allowed[0]",
            "a num",
        ),
        (feature(type="int64", checks={"allowed": [True]}), "features[0].checks.allowed[0]", "num"),
        (feature(type="string", checks={"allowed": [1]}), "features[0].checks.allowed[0]", "text"),
        (
            feature(type="date", checks={"allowed": ["2026-01-01"]}),
            "features[0].checks.allowed[0]",
            "are not listed",
        ),
        (aggregated(schedule=None), "schedule", "need a schedule"),
        (aggregated(column="a_sum_30d"), "features[0].column", "Did you mean 'a_sum_3d'"),
        (aggregated(column=None), "features[0].name", "do not give 'x'"),
        (
            aggregated(aggregations=[SUM[0] | {"windows": [f"{i + 1}s" for i in range(1001)]}]),
            "aggregations",
            "1001 columns",
        ),
        (aggregated(ttl="59m"), "ttl", "shorter than a tick"),
        (aggregated(sql="SELECT * FROM s"), "sql", "not both"),
        (
            aggregated(aggregations=[SUM[0] | {"windows": []}]),
            "aggregations[0].windows",
            "is empty",
        ),
        (
            aggregated(aggregations=[SUM[0] | {"functions": []}]),
            "aggregations[0].functions",
            "is empty",
        ),
        (
            aggregated(aggregations=[SUM[0] | {"windows": ["3 days"]}]),
            "aggregations[0].windows[0]",
            "as in 30d",
        ),
        (summing(windows=["3d", "lifetime"]), "aggregations[0].windows[1]", "is `unbounded`"),
        (VIEW | {"where": "count(*) > 1"}, "where", "use `aggregations`"),
        (VIEW | {"where": "a in (select 1)"}, "where", "is not allowed"),
        (VIEW | {"where": "a > 0) or (1 = 1"}, "where", "one scalar expression"),
        (VIEW | {"where": ""}, "where", "one scalar expression"),
        (VIEW | {"where": "a > 0", "sql": "SELECT * FROM s"}, "where", "choose its rows there"),
        (deriving("x + z"), "features[1].sql", "'z' is no aggregated feature of the view."),
        (deriving("a_sum_3d + x"), "features[1].sql", "add it to the features"),
        (deriving("x + y"), "features[1].sql", "write that out"),
        (deriving("1"), "features[1].sql", "names no feature"),
        (deriving("sum(x)"), "features[1].sql", "several rows"),
        (deriving("x", column="a_sum_3d"), "features[1].column", "leave this out"),
        (feature(sql="a + 1"), "features[0].sql", "for a view with `aggregations`"),
        (summing(where="random() > 0.5"), "aggregations[0].where", "list of allowed"),
        (summing("a__b_sum_3d", name="a__b"), "aggregations[0].name", "as in paid_amount"),
        (
            aggregated(aggregations=[*SUM, SUM[0] | {"where": "b"}]),
            "aggregations[1]",
            "or give one of them a `name`",
        ),
        (summing(functions=["sum", "sum"]), "aggregations[0].functions[1]", "'sum' stands twice"),
        (
            summing(functions=["sum", LAST_2, LAST_2]),
            "aggregations[0].functions[2]",
            "'last_k_2' stands twice",
        ),
        (
            summing(
                functions=[
                    "sum",
                    {"function": "percentile", "p": 5},
                    {"function": "percentile", "p": 5.0},
                ]
            ),
            "aggregations[0].functions[2]",
            "'percentile_5' stands twice",
        ),
        (summing(windows=["3d", "3d"]), "aggregations[0].windows[1]", "'3d' stands twice"),
        (
            aggregated(aggregations=[*SUM, SUM[0] | {"functions": ["mean", "sum"]}]),
            "aggregations[1]",
            "aggregations[0] gives 'a_sum_3d' already",
        ),
        (
            summing(column="a_last_k_2_3d", functions=[LAST_2]),
            "features[0].type",
            "last_k gives a list, not int64; write list<T>",
        ),
        (
            aggregated(
                aggregations=[SUM[0] | {"functions": ["mean"]}],
                features=[{"name": "a", "column": "a_mean_3d", "type": "float32"}],
            ),
            "features[0].type",
            "mean gives a float64, and few of those are a float32; write float64.",
        ),
        (SERVICE | {"features": []}, "features", "at least one reference"),
        (SERVICE | {"features": ["v:x", "v:x"]}, "features[1]", "stands twice"),
        (SERVICE | {"features": ["wrong"] * 1001}, "features", "1001 references; at most 1000"),
        (SERVICE | {"features": ["v@latest:x"]}, "features[0]", "view@1.2.0:feature"),
    ],
)
def test_what_breaks_a_rule(definition, key, says):
    ((found, message),) = problems(definition)

    assert found == key
    assert says in message


def test_every_wrong_column_is_named_and_the_nearest_of_the_first_ones():
    windows = [f"{seconds}s" for seconds in range(1, 1001)]
    features = [FEATURE | {"name": f"a_sum_{number}"} for number in range(400)]

    found = problems(
        aggregated(aggregations=[SUM[0] | {"windows": windows}]) | {"features": features}
    )

    assert [key for key, _ in found] == [f"features[{number}].name" for number in range(400)]
    assert ["Did you mean" in message for _, message in found] == [True] * 10 + [False] * 390


def test_a_list_of_the_newest_values_is_a_definition():
    definition = summing(column="a_last_k_2_3d", functions=["sum", LAST_2])

    assert (
        problems(
            definition
            | {"features": [FEATURE | {"type": "list<int64>", "column": "a_last_k_2_3d"}]}
        )
        == []
    )


def test_a_bound_that_is_no_number_bounds_nothing():
    definition = feature(checks={"min": float("inf"), "max": float("nan")})

    assert [key for key, _ in problems(definition)] == [
        "features[0].checks.min",
        "features[0].checks.max",
    ]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("int64", "int64"),
        ("decimal( 10 , 2 )", "decimal(10,2)"),
        ("list<list<string>>", "list<list<string>>"),
        ("vector< 384 >", "vector<384>"),
    ],
)
def test_a_type_is_read_and_written(text, written):
    assert str(parse_type(text)) == written
    assert parse_type(written) == parse_type(text)


@pytest.mark.parametrize("text", ["", "int", "INT64", "list<>", "list<int>", "decimal(2,3)", "٣"])
def test_a_type_that_is_none(text):
    with pytest.raises(UnknownType):
        parse_type(text)


@pytest.mark.parametrize("unit", ["x" * 33, " USD", "a\nb", "a\u202eb"])
def test_a_unit_is_a_few_characters_that_can_be_read(unit):
    found = problems(VIEW | {"features": [FEATURE | {"unit": unit}]})

    assert [key for key, message in found if "USD or km/h" in message] == ["features[0].unit"]
