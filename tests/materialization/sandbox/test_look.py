"""What is found in a source before its definition is accepted."""

from __future__ import annotations

import re
from datetime import timedelta

import msgspec
import pyarrow as pa
import pytest

from materialization.compute import look as looks
from materialization.compute.engine import ENGINES
from materialization.compute.limits import EngineLimits
from materialization.sources.files import Whereabouts
from materialization.stores.columns import INSTANT
from registry.spec.aggregations import AggregationSpec
from registry.spec.checks import Checks, Expectations, ViewChecks
from registry.spec.model import FeatureSpec, FeatureViewSpec, ScheduleSpec
from registry.spec.version_spec import VersionSpec
from tests.materialization.engine_cases import SHARED, at, compute_here, make_spec, write_parquet

ENGINE = ENGINES["duckdb"](EngineLimits(memory_limit_mb=256, threads=1, timeout_s=30))
T = at("2024-03-01T12:00")
SCHEMA = pa.schema(
    [("k", pa.int64()), ("event", INSTANT), ("created", INSTANT), ("x", pa.string())]
)


def rows(*texts, late=timedelta()):
    return [
        {"k": n, "event": T + timedelta(hours=n), "created": T + timedelta(hours=n) + late, "x": x}
        for n, x in enumerate(texts)
    ]


def look(spec, root):
    (report,) = looks.look([spec], where=Whereabouts(root=str(root)), engine=ENGINE)
    return report


def test_a_sound_definition_has_no_problems(tmp_path):
    write_parquet(tmp_path, rows("1", "2.5"), SCHEMA)

    report = look(make_spec(created="created"), tmp_path)

    assert report.problems == []
    assert report.warnings == []
    assert (report.rows, report.first_event, report.last_event) == (2, T, T + timedelta(hours=1))
    assert report.columns["x"] == "VARCHAR"


def test_dates_that_stand_for_none_are_named_by_column_and_number(tmp_path):
    none = [{"k": 7, "event": at("1970-01-01"), "created": at("1900-01-01"), "x": "3"}]
    write_parquet(tmp_path, rows("1", "2.5") + none * 2, SCHEMA)

    first, second = look(make_spec(created="created"), tmp_path).warnings

    assert first.startswith("2 rows have a date in 'event' that stands for none")
    assert second.startswith("2 rows have a date in 'created' that stands for none")


def test_a_wide_source_is_looked_at_to_its_last_column(tmp_path):
    names = [f"x{number}" for number in range(150)]
    first, second = rows("1", "2")
    wide = [{**first, **dict.fromkeys(names, "7")}, {**second, **dict.fromkeys(names, "8")}]
    wide[1] |= {"x3": "nine", "x149": "ten"}
    schema = pa.schema([*SCHEMA, *((name, pa.string()) for name in names)])
    write_parquet(tmp_path, wide, schema)

    features = [(name, "int64") for name in names]
    report = look(make_spec(created="created", features=features), tmp_path)

    assert [path for path, _ in report.problems] == [
        ("features", 3, "name"),
        ("features", 149, "name"),
    ]
    assert list(report.examples.values()) == ["'nine'", "'ten'"]
    assert report.rows == 2


def ticking(*, ttl=None, every="1h", windows=("3h",), **view):
    return make_spec(
        features=[(f"x_count_{window}", "int64") for window in windows],
        aggregations=(AggregationSpec(column="x", functions=("count",), windows=windows),),
        schedule=ScheduleSpec(every=every),
        ttl=ttl,
        **view,
    )


def apart(number, *, keys=50, days=40):
    """Return rows of many keys, spread over the days."""
    step = timedelta(days=days) / number
    return [{"k": n % keys, "event": T + n * step, "created": T, "x": "1"} for n in range(number)]


@pytest.mark.parametrize("ttl", [None, "1h", "4h"])
@pytest.mark.parametrize("windows", [("3h",), ("1h", "30d")])
def test_a_plan_says_how_many_rows_the_ticks_will_make_at_most(tmp_path, ttl, windows):
    write_parquet(tmp_path, apart(400), SCHEMA)
    spec = ticking(ttl=ttl, windows=windows)

    (said,) = [each for each in look(spec, tmp_path).warnings if "its schedule makes" in each]
    limits = EngineLimits(memory_limit_mb=256, threads=1)
    made = compute_here(spec, tmp_path, end=T + timedelta(days=90), limits=limits)[0].num_rows

    numbers = [int(text.replace(",", "")) for text in re.findall(r"[0-9][0-9,]*", said)]
    assert numbers[2] == 400
    assert 0.9 * made <= numbers[0] <= 4 * made
    assert "much more" not in said


@pytest.mark.parametrize("ttl", [None, "4h"])
def test_a_plan_says_what_an_unbounded_window_costs(tmp_path, ttl):
    write_parquet(tmp_path, apart(400), SCHEMA)
    spec = ticking(ttl=ttl, windows=("unbounded",))

    (said,) = [each for each in look(spec, tmp_path).warnings if "its schedule makes" in each]
    limits = EngineLimits(memory_limit_mb=256, threads=1)
    made = compute_here(spec, tmp_path, end=T + timedelta(days=40), limits=limits)[0].num_rows

    numbers = [int(text.replace(",", "")) for text in re.findall(r"[0-9][0-9,]*", said)]
    assert 0.9 * made <= numbers[0] <= 4 * made
    assert said.endswith("reads all rows of the source at each run, 400 by now.")


def test_ticks_that_make_much_more_than_the_source_are_warned_of_and_beyond_a_limit_refused(
    tmp_path,
):
    write_parquet(tmp_path, apart(400, days=3000), SCHEMA)
    spec = ticking(ttl="1h", windows=("3000d",))

    (said,) = [each for each in look(spec, tmp_path).warnings if "its schedule makes" in each]
    assert "much more than the source. Make the ticks longer" in said

    few = ENGINES["duckdb"](EngineLimits(memory_limit_mb=256, threads=1, tick_rows=1_000_000))
    (report,) = looks.look([spec], where=Whereabouts(root=str(tmp_path)), engine=few)
    [(path, problem)] = report.problems
    assert path == ("schedule",)
    assert "At most 1,000,000 may be (TICK_ROWS_LIMIT). Make the ticks longer" in problem


def test_more_ticks_than_a_run_may_have_are_a_problem_of_the_schedule_and_a_start_cuts_them(
    tmp_path,
):
    none = {"k": 7, "event": at("1900-01-01"), "created": T, "x": "3"}
    write_parquet(tmp_path, [*rows("1", "2.5"), none], SCHEMA)

    [(path, problem)] = look(ticking(every="1m"), tmp_path).problems
    assert path == ("schedule",)
    why = "1 row has a date in 'event' that stands for none, as 1900 or 1970 do"
    assert problem.startswith(f"{why}: every 1m has more than 5,000,000 ticks")

    few = ENGINES["duckdb"](EngineLimits(memory_limit_mb=256, threads=1, tick_rows=1))
    for start, said in ((None, f"{why}: its schedule"), (at("2024-01-01"), "its schedule")):
        spec = ticking(every="1h", ttl="1h", start=start)
        (report,) = looks.look([spec], where=Whereabouts(root=str(tmp_path)), engine=few)
        assert report.problems[0][1].startswith(f"{said} makes at most")

    assert look(ticking(every="1m", start=at("2024-01-01")), tmp_path).problems == []


def test_every_problem_is_reported_with_its_place(tmp_path):
    write_parquet(tmp_path, rows("1", "abc", "2"), SCHEMA)
    spec = make_spec(
        created="creatd", event="evnt", keys=[("kk", "int64")],
        features=[("x", "int64"), ("z", "int64", "xx"), ("k", "date")],
    )  # fmt: skip

    report = look(spec, tmp_path)

    problems = dict(report.problems)
    assert set(problems) == {
        ("source", "event_timestamp"), ("source", "created_timestamp"), ("entities", 0),
        ("features", 0, "name"), ("features", 1, "column"), ("features", 2, "name"),
    }  # fmt: skip
    assert "Did you mean 'event'?" in problems["source", "event_timestamp"]
    wrong = problems["features", 0, "name"]
    assert "1 of 3 values is not an int64, as in rows.parquet, row 2." in wrong
    assert report.examples == {wrong: "'abc'"}
    assert "BIGINT" in problems["features", 2, "name"]


@pytest.mark.parametrize(
    ("column", "functions", "message"),
    [
        ("x", ("sum",), "1 of 2 values is not a float64"),
        ("xx", ("count",), "Did you mean 'x'?"),
        ("event", ("sum",), "cannot become float64"),
    ],
)
def test_an_aggregated_column_is_named_where_it_is_written(tmp_path, column, functions, message):
    write_parquet(tmp_path, rows("1", "abc"), SCHEMA)
    spec = make_spec(
        features=[(f"{column}_{functions[0]}_1h", "float64")],
        aggregations=(AggregationSpec(column=column, functions=functions, windows=("1h",)),),
        schedule=ScheduleSpec(every="1h"),
    )

    report = look(spec, tmp_path)
    [(path, found)] = report.problems

    assert path == ("aggregations", 0, "column")
    assert message in found
    assert set(report.examples.values()) == ({"'abc'"} if column == "x" else set())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (None, "", "no file matches"),
        ("rows.csv", "", "0 bytes"),
        ("rows.parquet", "no Parquet", "it is no Parquet file"),
    ],
)
def test_a_file_that_is_missing_empty_or_broken_is_a_problem_of_the_path(
    tmp_path, name, content, message
):
    if name:
        (tmp_path / name).write_text(content)

    [(path, found)] = look(make_spec("rows.*"), tmp_path).problems

    assert path == ("source", "path")
    assert message in found


@pytest.mark.parametrize(
    ("texts", "want", "message"),
    [
        (("a", "b", "1"), "int64", "2 of 3 values are not int64 values"),
        (("31/12/2024", "1704067200"), "timestamp", "2 of 2 values are not timestamps"),
        (("31/12/2024", "2024-12-31"), "date", "1 of 2 values is not a date"),
    ],
)
def test_values_of_another_type_are_counted_in_words(tmp_path, texts, want, message):
    write_parquet(tmp_path, rows(*texts), SCHEMA)

    [(path, found)] = look(make_spec(features=[("x", want)]), tmp_path).problems

    assert path == ("features", 0, "name")
    assert message in found
    assert ("ISO 8601" in found) == (want != "int64")


@pytest.mark.parametrize("text", ["31/12/2024", "1704067200"])
def test_who_sends_other_times_is_told_what_they_may_be(tmp_path, text):
    (tmp_path / "rows.csv").write_text(f"k,event,x\n1,{text},a\n")

    report = look(make_spec("rows.csv", features=[("x", "string")]), tmp_path)
    [(path, found)] = report.problems

    assert path == ("source", "event_timestamp")
    assert "is not a timestamp, as in rows.csv, line 2. Write times as ISO 8601" in found
    assert report.examples == {found: f"'{text}'"}
    assert "{column: event, unit: s}, or ms, us, ns." in found


def test_numbers_are_no_timestamps_of_a_feature_which_has_no_unit(tmp_path):
    write_parquet(tmp_path, rows("1"), SCHEMA)

    [(_, found)] = look(make_spec(features=[("k", "timestamp")]), tmp_path).problems

    assert found == (
        "rows.parquet: column 'k' holds BIGINT, which cannot become timestamp; declare the type it "
        "has, or cast it in the view's `sql`."
    )


def test_a_source_by_itself_is_looked_at_for_its_times(tmp_path):
    write_parquet(tmp_path, rows("1"), SCHEMA)

    view = FeatureViewSpec(name="rows", entities=(), source="rows", features=())
    assert look(VersionSpec(view=view, source=make_spec().source), tmp_path).problems == []
    wrong = VersionSpec(view=view, source=make_spec(event="evnt").source)
    [(path, found)] = look(wrong, tmp_path).problems
    assert path == ("source", "event_timestamp")
    assert "Did you mean 'event'?" in found


def test_sql_over_a_column_that_is_not_there_is_a_problem_of_the_sql(tmp_path):
    write_parquet(tmp_path, rows("1"), SCHEMA)

    [(path, found)] = look(make_spec(sql="SELECT k, event, xx AS x FROM rows"), tmp_path).problems

    assert path == ("sql",)
    assert "'xx'" in found


def test_no_rows_is_a_warning(tmp_path):
    write_parquet(tmp_path, [], SCHEMA)

    report = look(make_spec(), tmp_path)

    assert (report.problems, report.rows, report.first_event) == ([], 0, None)
    assert report.warnings == ["source 'rows' has no rows."]


def test_rows_to_be_left_out_are_counted(tmp_path):
    write_parquet(tmp_path, [*rows("1"), {"k": None, "event": T, "created": T, "x": "1"}], SCHEMA)

    assert "1 of 2 rows have no k and will be left out." in look(make_spec(), tmp_path).warnings


def test_one_bulk_load_is_noticed(tmp_path):
    write_parquet(tmp_path, rows("1", "2", late=timedelta(days=30)), SCHEMA)

    [warning] = look(make_spec(created="created"), tmp_path).warnings

    assert "looks like one bulk load" in warning
    assert '"timing": "event"' in warning


@pytest.mark.skipif(not SHARED.exists(), reason=f"the real inputs are not there: {SHARED}")
def test_driver_stats_were_loaded_in_bulk():
    spec = make_spec(
        "driver_stats.parquet", keys=[("driver_id", "int64")], event="event_timestamp",
        created="created", features=[("conv_rate", "float32")],
    )  # fmt: skip

    report = look(spec, SHARED)

    assert (report.problems, report.rows) == ([], 1807)
    assert "looks like one bulk load" in report.warnings[0]


@pytest.mark.parametrize("content", ["k,event\n1,2024-03-01,3\n", "", 'k\n"a\n'])
def test_a_problem_names_the_file_as_a_definition_does_and_not_where_the_root_is(tmp_path, content):
    (tmp_path / "rows.csv").write_text(content)
    (tmp_path / "out.csv").symlink_to("/etc/hostname")

    for path in ("rows.csv", "out.csv"):
        found = look(make_spec(features=[("x", "float64")], path=path), tmp_path)

        message = " ".join(message for _, message in found.problems)
        assert path in message
        assert str(tmp_path) not in message


def test_what_a_terminal_would_obey_in_a_files_name_is_written_out(tmp_path):
    (tmp_path / "a\x1b[2J.csv").write_text("k,event\n")

    found = look(make_spec(features=[("x", "float64")], path="a*.csv"), tmp_path)

    assert "a\\u001b[2J.csv" in found.problems[0][1]
    assert "\x1b" not in found.problems[0][1]


def test_json_that_is_nested_too_deep_is_the_files_fault(tmp_path):
    deep = "[" * 100_000 + "]" * 100_000
    (tmp_path / "rows.jsonl").write_text(f'{{"k": 1, "event": "2024-03-01", "x": {deep}}}\n')

    found = look(make_spec(features=[("x", "float64")], path="rows.jsonl"), tmp_path)

    assert found.problems[0][0][0] == "source"


def test_checks_that_the_engine_cannot_read_are_named_where_they_stand(tmp_path):
    write_parquet(tmp_path, rows("1", "2.5"), SCHEMA)
    spec = make_spec(features=[("x", "string")])
    wrong = Checks(regex="[a-z", warn=Expectations(regex="(?=a)"))
    conditions = {"fine": "k > 0 AND x <> ''", "a_text": "x", "no_sum": "x + 1 > k", "odd": "z > 1"}
    view = msgspec.structs.replace(
        spec.view,
        features=(FeatureSpec(name="x", type="string", checks=wrong),),
        checks=ViewChecks(conditions=conditions),
    )

    found = dict(look(msgspec.structs.replace(spec, view=view), tmp_path).problems)

    assert set(found) == {
        ("features", 0, "checks", "regex"),
        ("features", 0, "checks", "warn", "regex"),
        ("checks", "conditions", "a_text"),
        ("checks", "conditions", "no_sum"),
    }
    assert found["features", 0, "checks", "regex"] == "'[a-z' is no regex of RE2: missing ]: [a-z."
    assert "invalid perl operator" in found["features", 0, "checks", "warn", "regex"]
    assert "it gives a VARCHAR" in found["checks", "conditions", "a_text"]


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (
            timedelta(),
            ["1 of 2 rows have a time in 'event'", "2 of 2 rows have a time in 'created'"],
        ),
        (timedelta(hours=1), ["1 of 2 rows have a time in 'created'"]),
        (timedelta(hours=3), []),
    ],
)
def test_rows_that_lie_ahead_are_counted_for_each_time(tmp_path, after, said):
    write_parquet(tmp_path, rows("1", "2.5", late=timedelta(hours=1)), SCHEMA)
    spec, where = make_spec(created="created"), Whereabouts(root=str(tmp_path))

    (report,) = looks.look([spec], where=where, engine=ENGINE, at=T + after)

    found = [each for each in report.warnings if "lies ahead" in each]
    assert len(found) == len(said)
    for each, words in zip(found, said, strict=True):
        assert words in each
        assert f"(after {T + after:%Y-%m-%d %H:%M:%S} UTC): they wait for the run" in each
    assert report.problems == []


USED_AGAIN = "SELECT k, event, upper(note) AS tag, tag || '!' AS x FROM rows"
PLAIN = "SELECT k, event, upper(note) AS x FROM rows"


@pytest.mark.parametrize("ending", ["jsonl", "json"])
@pytest.mark.parametrize(("sql", "named"), [(USED_AGAIN, "'tag'"), (PLAIN, "")])
def test_a_name_that_rows_to_come_may_have_too_is_refused_while_there_are_none(
    tmp_path, sql, named, ending
):
    file = tmp_path / f"rows.{ending}"
    spec = make_spec(file.name, keys=[("k", "string")], features=[("x", "string")], sql=sql)
    file.write_text("\n" if ending == "jsonl" else "[]")

    problems = look(spec, tmp_path).problems

    if named:
        [(path, message)] = problems
        assert path == ("sql",)
        assert f"nothing tells whether {named} is one of theirs" in message
    else:
        assert problems == []
    file.write_text('{"k": "a", "event": "2024-05-01", "note": "n"}')
    assert look(spec, tmp_path).problems == []
