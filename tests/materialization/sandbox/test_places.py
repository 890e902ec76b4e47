"""What is wrong with a value says in which file, and where in it; never what the value is."""

from __future__ import annotations

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from lib.errors import AssayError
from materialization.compute import look as looks
from materialization.compute.engine import ENGINES
from materialization.errors import SourceDrifted
from materialization.sandbox import places
from materialization.sources.files import Whereabouts
from registry.spec.aggregations import AggregationSpec
from registry.spec.model import ScheduleSpec
from registry.spec.sources.base import SourceColumn, SourceSchema
from tests.materialization.engine_cases import LIMITS, at, compute_here, make_spec

ENGINE = ENGINES["duckdb"](LIMITS)
DAY = at("2024-05-01T00:00")
BAD = "secret"


def csv(path, *values):
    """The bad value comes after a field that takes two lines."""
    lines = [f'k{n},2024-05-01,"a\nb",{value}\n' for n, value in enumerate(values)]
    data = ("k,event,note,x\n" + "".join(lines)).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def jsonl(path, *values):
    rows = [{"k": f"k{n}", "event": "2024-05-01", "x": value} for n, value in enumerate(values)]
    path.write_text("\n".join(map(json.dumps, rows)))


def parquet(path, *values):
    rows = {"k": [f"k{n}" for n, _ in enumerate(values)], "event": [DAY] * len(values)}
    table = pa.table(rows | {"x": pa.array(values, pa.string())})
    pq.write_table(table, path, row_group_size=1)


WRITERS = {
    "csv": (csv, "line 4"),
    "csv.gz": (csv, "line 4"),
    "jsonl": (jsonl, "line 2"),
    "parquet": (parquet, "row 2"),
}
AGGREGATED = {
    "features": [("x_sum_1d", "float64")],
    "aggregations": (AggregationSpec(column="x", functions=("sum",), windows=("1d",)),),
    "schedule": ScheduleSpec(every="1d"),
}
VIEWS = {
    "columns": {"features": [("x", "float64")]},
    "sql": {
        "features": [("x", "float64")],
        "sql": "SELECT k, event, CAST(x AS VARCHAR) AS x FROM rows",
    },
    "aggregations": AGGREGATED,
}


def days(folder, ending, *, bad=6, count=9):
    write, row = WRITERS[ending]
    for number in range(count):
        write(folder / f"{number}.{ending}", "1", BAD if number == bad else "2", "3")
    return f"{bad}.{ending}, {row}"


def spec_of(ending, **view):
    return make_spec(f"*.{ending}", keys=[("k", "string")], **view)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("ending", WRITERS)
@pytest.mark.parametrize("count", [1, 9], ids=["alone", "among others"])
def test_a_run_says_the_file_and_the_row(tmp_path, ending, view, count):
    place = days(tmp_path, ending, bad=count * 2 // 3, count=count)

    with pytest.raises(AssayError) as caught:
        compute_here(spec_of(ending, **VIEWS[view]), tmp_path)

    assert caught.value.message.startswith(
        f"{tmp_path}/{place}: column 'x': a value is not a float64"
    )
    assert (caught.value.example, BAD in caught.value.message) == (repr(BAD), False)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("ending", WRITERS)
def test_a_look_says_them_too_below_the_root(tmp_path, ending, view):
    place = days(tmp_path, ending)

    where = Whereabouts(root=str(tmp_path))
    (found,) = looks.look([spec_of(ending, **VIEWS[view])], where=where, engine=ENGINE)

    ((_, message),) = found.problems
    words = f"column 'x': 1 of 27 values is not a float64, as in {place}. "
    assert message.startswith(words)
    assert found.examples[message] == repr(BAD)


def test_a_cast_in_sql_says_the_file(tmp_path):
    days(tmp_path, "csv")
    cast = "SELECT k, event, CAST(x AS DOUBLE) AS x FROM rows"

    with pytest.raises(AssayError, match=r"/6\.csv: sql meets a value it cannot cast to DOUBLE"):
        compute_here(spec_of("csv", features=[("x", "float64")], sql=cast), tmp_path)


def test_a_number_that_the_common_type_cannot_hold_says_the_file_and_the_row(tmp_path):
    for name, x in {"1": [1.5], "2": [1, 2**53 + 1]}.items():
        rows = {"k": [f"k{n}" for n, _ in enumerate(x)], "event": [DAY] * len(x), "x": x}
        pq.write_table(pa.table(rows), tmp_path / f"{name}.parquet")

    with pytest.raises(AssayError, match=r"/2\.parquet, row 2: column 'x'") as caught:
        compute_here(spec_of("parquet", features=[("x", "float64")]), tmp_path)
    assert caught.value.example == "'9007199254740993'"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"keys": [("kk", "string")]}, "the source has no column 'kk'"),
        ({"features": [("x", "list<int64>")]}, "column 'x' holds DOUBLE, which cannot become"),
    ],
)
def test_what_is_so_in_every_file_names_the_first(tmp_path, given, says):
    for name in "ab":
        table = pa.table({"k": ["k"], "event": [DAY], "x": [1.5]})
        pq.write_table(table, tmp_path / f"{name}.parquet")
    spec = make_spec(
        "*.parquet", **{"keys": [("k", "string")], "features": [("x", "float64")]} | given
    )

    with pytest.raises(AssayError, match=rf"/a\.parquet and 1 more: {says}"):
        compute_here(spec, tmp_path)
    (found,) = looks.look([spec], where=Whereabouts(root=str(tmp_path)), engine=ENGINE)
    assert [
        message.startswith(f"a.parquet and 1 more: {says}") for _, message in found.problems
    ] == [True]


def test_a_column_that_a_new_file_no_longer_has_names_the_file(tmp_path):
    """A run opens what is new; the files beside it still have the column."""
    (tmp_path / "3.csv").write_text("k,event\nk,2024-05-01\n")
    columns = tuple(SourceColumn(name=name, type="VARCHAR") for name in ("event", "k", "x"))
    schema = SourceSchema(format="csv", columns=columns)
    spec = replace(spec_of("csv", features=[("x", "string")]), schema=schema)

    with pytest.raises(SourceDrifted, match=r"/3\.csv: the source has no column 'x' any more"):
        compute_here(spec, tmp_path)


def test_a_place_that_would_take_long_to_find_is_left_unsaid(tmp_path, monkeypatch):
    days(tmp_path, "csv")
    monkeypatch.setattr(places, "MAX_BYTES", 10)

    with pytest.raises(AssayError, match=r"/0\.csv and 8 more: column 'x': a value is not"):
        compute_here(spec_of("csv", features=[("x", "float64")]), tmp_path)
