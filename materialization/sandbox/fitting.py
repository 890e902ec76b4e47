# ruff: noqa: S608 - columns are names of our own
"""What encodings are fitted to: the rows of a range, step by step. Runs in the child.

Not for what a step is fitted to (``transforms.encoding``), nor for keeping it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from materialization.compute.reports import Fit
from materialization.errors import FitFailed
from materialization.transforms.encoding.kinds import kind_of
from materialization.transforms.encoding.step import Ask
from materialization.transforms.kinds import kind_of as rows_kind_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

    from materialization.compute.jobs import FitJob
    from materialization.compute.limits import EngineLimits
    from materialization.sources.reading import OpenedSource
    from registry.spec.encodes import EncodeSpec, FitRange
    from registry.spec.model import FeatureSpec

_ROWS, _STEPS = "fit_rows", ("fit_even", "fit_odd")
#: Of the parameters of one feature, and of one view: they are a part of every query of it.
MOST_BYTES, MOST_BYTES_OF_ALL = 2_000_000, 8_000_000


def fit(
    connection: duckdb.DuckDBPyConnection, job: FitJob, opened: OpenedSource, limits: EngineLimits
) -> Fit:
    """Fit the encodings of the job's features; those of one range read it once.

    :raises FitFailed: naming the feature and the step.
    """

    def run(sql: str) -> list[tuple[Any, ...]]:
        return connection.execute(sql).fetchall()

    wanted = [each for each in job.spec.features if each.name in job.features]
    parameters: dict[str, tuple[dict[str, Any], ...]] = {}
    rows: dict[str, int] = {}
    for at in dict.fromkeys(each.encode.fit for each in wanted if each.encode is not None):
        if at is None:
            continue
        same = [each for each in wanted if each.encode is not None and each.encode.fit == at]
        counts = _take(connection, job, same, at, opened, limits)
        for number, feature in enumerate(same):
            rows[feature.name] = counts[number]
            if feature.encode is not None:
                ask = Ask(run, len(job.spec.join_keys), at.window)
                parameters[feature.name] = _fitted(ask, feature, feature.encode, number)
    if (size := job.kept_bytes + len(msgspec.json.encode(parameters))) > MOST_BYTES_OF_ALL:
        raise FitFailed(
            f"what its encodings are fitted to takes {size:,} bytes, and at most"
            f" {MOST_BYTES_OF_ALL:,} of one view may be: make several views of it."
        )
    return Fit(parameters, rows)


def _take(
    connection: duckdb.DuckDBPyConnection,
    job: FitJob,
    features: Sequence[FeatureSpec],
    at: FitRange,
    opened: OpenedSource,
    limits: EngineLimits,
) -> list[int]:
    """Put what the first steps take into a table; return on how many rows each is fitted."""
    queries = rows_kind_of(job.spec).fit_rows(connection, job, features, at, opened, limits)
    into = f"CREATE OR REPLACE TEMP TABLE {_ROWS} AS"
    for query in queries:
        connection.execute(f"{into} {query}")
        into = f"INSERT INTO {_ROWS}"
    counts = [0] * len(features)
    if into.startswith("INSERT"):
        counted = ", ".join(f"count(*) FILTER (WHERE t{n})" for n, _ in enumerate(features))
        counts = list(connection.execute(f"SELECT {counted} FROM {_ROWS}").fetchall()[0])
    if 0 in counts:
        names = ", ".join(f.name for f, count in zip(features, counts, strict=True) if not count)
        where = "no tick of" if job.spec.transform.makes_ticks else "the source has no row from"
        has = " has a value" if job.spec.transform.makes_ticks else ""
        raise FitFailed(f"{names}: {where} {at}{has}; nothing can be fitted.")
    return counts


def _fitted(
    ask: Ask, feature: FeatureSpec, encode: EncodeSpec, number: int
) -> tuple[dict[str, Any], ...]:
    """Fit each step to what the steps before it make of the rows."""
    beside = [*(f"k{n}" for n in range(ask.keys)), "e"]
    beside += [] if encode.label is None else [f"y{number} AS y"]
    rows = f"SELECT {', '.join(beside)}, f{number} AS v FROM {_ROWS} WHERE t{number}"
    fitted: list[dict[str, Any]] = []
    for at, step in enumerate(encode.all_steps):
        # Into a table each time: filters on a value are pushed into what makes it, and an
        # expression that names the one before it several times would grow with every step.
        table = _STEPS[at % 2]
        ask(f"CREATE OR REPLACE TEMP TABLE {table} AS {rows}")
        kind = kind_of(step)
        try:
            fitted.append(kind.fit(step, ask, table) if step.is_fitted else {})
        except FitFailed as exc:
            raise FitFailed(f"{feature.name}: {step.name}: {exc.message}.") from exc
        rows = f"SELECT * FROM {table}"
        for stage in kind.stages(step, fitted[-1], "v"):
            rows = f"SELECT * REPLACE ({stage} AS v) FROM ({rows})"
    if (size := len(msgspec.json.encode(fitted))) > MOST_BYTES:
        raise FitFailed(
            f"{feature.name}: what it is fitted to takes {size:,} bytes, and at most {MOST_BYTES:,}"
            " may be: have fewer categories or terms, or shorter ones."
        )
    return tuple(fitted)
