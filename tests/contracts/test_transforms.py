"""What every kind of transform has to keep, whatever it makes of the rows.

Not for the values: the tests of each kind compare those with an oracle.
"""

from __future__ import annotations

import msgspec
import pytest

from materialization.compute.limits import PythonLimits
from materialization.compute.session import open_session
from materialization.finding.kinds import find_source
from materialization.sources.files import Whereabouts
from materialization.sources.kinds import open_source
from materialization.stores.columns import computed_schema
from materialization.transforms.kinds import KINDS, kind_of
from registry.choices import Accuracy
from registry.spec.aggregations import AggregationSpec
from registry.spec.model import ScheduleSpec
from registry.spec.python_code import PythonCall
from registry.spec.transforms import (
    Aggregations,
    Columns,
    LoadedWindows,
    PushedWindows,
    Python,
    RowSql,
)
from tests.distributions import install
from tests.materialization.engine_cases import LIMITS, at, compute_here, make_spec

SUMS = AggregationSpec(column="x", functions=("sum",), windows=("2d",))
#: The keys of a view that ask for each kind whose rows are made by runs, over a source with the
#: columns k, event and x.
VIEWS = {
    Columns: {"features": [("x", "float64")]},
    RowSql: {"features": [("x", "float64")], "sql": "SELECT k, event, x FROM rows"},
    Python: {"features": [("x", "float64")], "python": PythonCall(function="same:same")},
    Aggregations: {
        "features": [("total", "float64", "x_sum_2d")],
        "aggregations": (SUMS,),
        "schedule": ScheduleSpec(every="1d"),
    },
    LoadedWindows: {
        "features": [("total", "float64", "x_sum_2d")],
        "aggregations": (SUMS,),
        "schedule": ScheduleSpec(every="1d"),
        "accuracy": Accuracy.EXACT,
    },
}
LINES = "a,2024-01-01,1\n,2024-01-01,2\nb,,3\nb,2024-01-02,4\na,2024-01-03,5\n"
SAME = """
import pyarrow as pa, pyarrow.compute as pc

def same(batch):
    return pa.table({"x": pc.cast(batch["x"], pa.float64())})
"""
DAYS = [at(f"2024-01-0{day}") for day in range(1, 8)]


@pytest.fixture(params=VIEWS, ids=lambda kind: kind.__name__)
def spec(request):
    return make_spec("rows.csv", keys=[("k", "string")], **VIEWS[request.param])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "rows.csv").write_text(f"k,event,x\n{LINES}")
    return tmp_path


@pytest.fixture(scope="module")
def limits(tmp_path_factory):
    folder = install(tmp_path_factory.mktemp("packages"), name="same", same=SAME)
    return msgspec.structs.replace(LIMITS, python=PythonLimits(("same",), folder))


def test_the_definition_says_which_kind_it_is(spec):
    assert kind_of(spec) is KINDS[type(spec.transform)]
    assert {*VIEWS, PushedWindows} == set(KINDS)


def test_rows_have_the_columns_of_the_table(spec, folder, limits):
    table, counters = compute_here(spec, folder, end=DAYS[-1], limits=limits)

    assert table.schema == computed_schema(spec)
    assert counters.rows == table.num_rows > 0


def test_rows_without_a_key_or_a_time_are_left_out_and_counted(spec, folder, limits):
    _, counters = compute_here(spec, folder, end=DAYS[-1], limits=limits)

    counted = counters.rows_read, counters.dropped_null_key, counters.dropped_null_time
    assert counted == (5, 1, 1)


def test_a_window_gives_what_became_visible_in_it_and_no_more(spec, folder, limits):
    table, _ = compute_here(spec, folder, start=DAYS[1], end=DAYS[2], limits=limits)

    assert set(table["event_timestamp"].to_pylist()) == {DAYS[2]}


def test_a_source_without_rows_gives_none(spec, tmp_path, limits):
    (tmp_path / "rows.csv").write_text("k,event,x\n")

    table, counters = compute_here(spec, tmp_path, end=DAYS[-1], limits=limits)
    assert (table.num_rows, counters.rows_read) == (0, 0)


def test_a_check_leads_to_where_the_definition_names_the_column(spec, folder, tmp_path, limits):
    found = find_source(spec.source, Whereabouts(root=str(folder)))
    temp = tmp_path / "temp"
    temp.mkdir()
    with (
        open_session(LIMITS, directory=str(temp), only=found.paths) as connection,
        kind_of(spec).entering(connection, spec, limits),
    ):
        opened = open_source(connection, spec, found)
        checks = list(kind_of(spec).checks(spec, opened.columns))

    assert checks
    for check in checks:
        node = spec.view
        for step in check.path:
            node = getattr(node, step) if isinstance(step, str) else node[step]
        assert node
        check.make()
