# ruff: noqa: S608 - names of our own; the rest goes through the stages
"""The rows that encodings of aggregates are fitted on: values at the ticks of a range.

They are those of a view that begins at the range's start: at an entity's first tick in it with a
value, and at each at which a value changes, by what the source has now. Which rows a feature has
does not depend on the others of its view, or on the TTL. Not for fitting (``sandbox.fitting``), nor
for what a run stores (``run``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from lib.instants import MICROSECOND, from_us, to_us
from lib.sql_text import numbered
from materialization.compute.jobs import ComputeJob
from materialization.ticks import last_tick
from materialization.transforms.aggregation import stages
from materialization.transforms.aggregation.aggregates import read_aggregates
from materialization.transforms.aggregation.computing import create, number_of, register
from materialization.transforms.aggregation.run import computed, schedule_of, slices_of
from materialization.transforms.aggregation.tick_grid import make_grid
from materialization.transforms.base import base_casts, no_key_sql
from registry.choices import Accuracy
from registry.spec.model import FeatureSpec
from registry.spec.row_sql import columns_under

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    import duckdb

    from materialization.compute.jobs import FitJob
    from materialization.sources.reading import OpenedSource
    from materialization.transforms.aggregation.aggregates import Aggregates
    from materialization.transforms.aggregation.tick_grid import TickGrid
    from registry.spec.encodes import FitRange
    from registry.spec.version_spec import VersionSpec

#: What a label is called beside features, whose names have no two underscores in a row.
_LABEL = "label__"


def fit_rows(
    connection: duckdb.DuckDBPyConnection,
    given: FitJob,
    features: Sequence[FeatureSpec],
    at: FitRange,
    opened: OpenedSource,
    *,
    slice_rows: int,
) -> Iterator[str]:
    """Yield what ``TransformKind.fit_rows`` promises, a slice of the keys each."""
    register(connection)
    start, to = at.window
    spec, labels = _over(given.spec, features, start)
    job = ComputeJob(spec, given.source, to - MICROSECOND)
    aggregates = read_aggregates(spec, opened.columns)
    last = to_us(last_tick(schedule_of(spec), job.window_end))
    wanted = stages.wanted_sql(aggregates, last=last, first=to_us(start))
    base = base_casts(spec, opened.columns)
    create(connection, "raw", stages.raw_sql(base, aggregates, opened.relation, wanted))
    create(connection, "state", stages.state_sql(spec, (), 0))
    usable = f"raw WHERE e IS NOT NULL AND NOT ({no_key_sql(spec)})"
    seen = number_of(connection, f"SELECT min(v) FROM {usable}")
    if seen is None:
        return
    grid = make_grid(schedule_of(spec), begin=max(start, from_us(seen)), end=job.window_end)
    if grid is None:
        return
    rows = number_of(connection, "SELECT count(*) FROM raw") or 0
    slices = slices_of(rows, aggregates, slice_rows)
    for aggregated in computed(connection, job, aggregates, grid, slices):
        yield _rows_sql(spec, features, labels, grid, aggregated)


def _over(
    spec: VersionSpec, features: Sequence[FeatureSpec], start: datetime
) -> tuple[VersionSpec, list[str]]:
    """Return a version that has the features first, before their steps, and the labels last."""
    known = {each.name: each for each in spec.features}
    wanted = {each.name: each.unencoded for each in features}
    for name in [one for each in features if each.sql for one in columns_under(each.sql)]:
        wanted.setdefault(name, known[name].unencoded)
    labels = list(dict.fromkeys(each.label for each in features if each.label is not None))
    made = [
        FeatureSpec(name=f"{_LABEL}{n}", type="float64", column=output)
        for n, output in enumerate(labels)
    ]
    view = replace(
        spec.view, features=(*wanted.values(), *made), start=start, ttl=None,
        accuracy=Accuracy.SNAPSHOT,
    )  # fmt: skip
    return replace(spec, view=view), labels


def _rows_sql(
    spec: VersionSpec,
    features: Sequence[FeatureSpec],
    labels: Sequence[str],
    grid: TickGrid,
    aggregates: Aggregates,
) -> str:
    empty, places = (
        stages.empty_values(aggregates),
        {f.name: n for n, f in enumerate(spec.features)},
    )
    differ = "".join(
        f", CASE WHEN lag(i) OVER k IS NULL THEN f{n} IS DISTINCT FROM {value}"
        f" ELSE f{n} IS DISTINCT FROM lag(f{n}) OVER k END AS differs{n}"
        for n, value in empty.items()
    )
    takes, first_label = [], len(spec.features) - len(labels)
    for n, each in enumerate(features):
        read = [places[name] for name in columns_under(each.sql)] if each.sql else [n]
        takes.append(f"f{n}, {' OR '.join(f'differs{place}' for place in read)} AS t{n}")
        if each.label is not None:
            takes.append(f"f{first_label + labels.index(each.label)} AS y{n}")
    moved = f"SELECT *{differ} FROM computed WINDOW k AS (PARTITION BY kid ORDER BY i)"
    tick = f"make_timestamptz({grid.instant('moved.i')}) AS e"
    ticks = "" if grid.period else " JOIN ticks USING (i)"
    keys = numbered("k", spec.join_keys).removeprefix(", ")
    return (
        f"SELECT {keys}, {tick}, {', '.join(takes)}"
        f" FROM ({moved}) AS moved JOIN keys USING (kid){ticks}"
    )
