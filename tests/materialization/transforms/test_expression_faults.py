"""An expression that fails is told by what is wrong with it, never by the values it failed on."""

from __future__ import annotations

import pyarrow as pa
import pytest

from lib.errors import AssayError
from materialization.compute import look as looks
from materialization.compute.engine import ENGINES
from materialization.compute.limits import EngineLimits
from materialization.sources.files import Whereabouts
from materialization.stores.columns import INSTANT
from tests.materialization.engine_cases import at, compute_here, make_spec, write_parquet

ENGINE = ENGINES["duckdb"](EngineLimits(memory_limit_mb=256, threads=1, timeout_s=30))
SCHEMA = pa.schema([("k", pa.int64()), ("event", INSTANT), ("s", pa.string()), ("n", pa.int64())])
SECRET_NUMBER = 9_223_372_036_854_770_000
ROW = {"k": 1, "event": at("2024-03-01T12:00"), "s": "Xq7(Ada", "n": SECRET_NUMBER}

#: Expression, kind of the feature, words of the message. ``s`` and ``n`` are the secrets.
OF_VALUES = [
    ("regexp_extract('a', s)", "string", "a regular expression is not one: missing )"),
    ("factorial(CAST(n // 1000000000000000 AS INT))", "int64", "Value out of range"),
    ("n + 9000", "int64", "Overflow in addition of INT64"),
    ("n * 2", "int64", "Overflow in multiplication of INT64"),
    ("-n - n", "int64", "Overflow in subtraction of INT64"),
    ("chr(CAST(n // 1000000000000 AS INT))", "string", "Invalid UTF8 Codepoint"),
    ("n // (n - n)", "int64", "Division by zero"),
    ("CAST(strptime(s, '%Y') AS VARCHAR)", "string", "Could not parse string"),
    ("unhex(s)", "bytes", "Invalid input for hex digit"),
    ("json_array_length(s)", "int64", "Malformed JSON"),
    ("hamming(s, 'a')", "int64", "Strings must be of equal length"),
    ("to_base(-n, 2)", "string", "number must be greater than or equal to 0"),
    ("1 << n", "int64", "Left-shift value"),
    ("timezone(s, TIMESTAMP '2024-01-01 00:00:00')", "timestamp", "Unknown TimeZone"),
    ("printf(s || '%d', s)", "string", "Invalid type specifier"),
    ("make_date(2024, CAST(n // 1000000000000 AS INT), 1)", "date", "Date out of range"),
    ("lcm(n, 7)", "int64", "lcm value is out of range"),
]
#: What no row has a part in; the SQL's own constants may be repeated.
OF_THE_SQL = [
    ("regexp_extract(s, '(')", "string", "missing ): ("),
    ("regexp_matches(s, '[a')", "bool", "missing ]: [a"),
    ("regexp_replace(s, '*', '')", "string", "no argument for repetition operator: *"),
    ("factorial(1000)", "int64", "Value out of range"),
    ("9223372036854775807 + 1", "int64", "(9223372036854775807 + 1)"),
    (
        "strftime(TIMESTAMP '2024-01-01', '%Q')",
        "string",
        "Unrecognized format for strftime/strptime: %Q",
    ),
    ("to_base(7, 1)", "string", "radix must be between 2 and 36"),
    ("unhex('zz')", "bytes", "Invalid input for hex digit: z"),
]


def spec_of(expression, kind):
    sql = f"SELECT k, event, {expression} AS x FROM rows"
    return make_spec(features=[("x", kind)], sql=sql)


def refusals(spec, root):
    """Return how a run and how a plan tell it."""
    write_parquet(root, [ROW], SCHEMA)
    with pytest.raises(AssayError) as refused:
        compute_here(spec, root)
    (report,) = looks.look([spec], where=Whereabouts(root=str(root)), engine=ENGINE)
    ((path, problem),) = report.problems
    return refused.value, path, problem, report.examples.get(problem, "")


@pytest.mark.parametrize(("expression", "kind", "words"), OF_VALUES)
def test_what_fails_on_a_value_is_said_without_it(tmp_path, expression, kind, words):
    run, path, planned, example = refusals(spec_of(expression, kind), tmp_path)

    assert path == ("sql",)
    assert run.code == "row_sql_failed"
    for message in (run.message, planned):
        assert "an expression fails on a row: " in message
        assert words in message
        assert "rows.parquet" in message
        for secret in ("Xq7", "Ada", "92233"):
            assert secret not in message
    assert run.example
    assert example


@pytest.mark.parametrize(("expression", "kind", "words"), OF_THE_SQL)
def test_what_fails_on_every_row_is_said_in_whole(tmp_path, expression, kind, words):
    run, path, planned, example = refusals(spec_of(expression, kind), tmp_path)

    assert path == ("sql",)
    assert (run.code, run.example, example) == ("row_sql_refused", "", "")
    for message in (run.message, planned):
        assert words in message
        assert "source cannot be read" not in message


def test_a_constant_that_fails_like_a_value_does_not_tell_the_value(tmp_path):
    spec = spec_of("CASE WHEN n > 0 THEN n + 9000 ELSE 9223372036854775807 + n END", "int64")

    run, *_ = refusals(spec, tmp_path)

    assert run.code == "row_sql_failed"
    assert "9000" not in run.message
