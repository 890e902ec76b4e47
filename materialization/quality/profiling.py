# ruff: noqa: S608 - names and texts are quoted by sql_text, the rest are numbers
"""What to ask DuckDB for a profile of a run's rows, and how to read what it said. [pure]

Not for what a profile is: ``profiles`` has that. Counts, extremes and moments are exact, by one
pass over the staged files; what needs every value in hand (distinct, quantiles, histogram, most
frequent) is of a sample, whose size is said.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np

from lib.instants import from_us
from lib.sql_text import identifier
from materialization.compute.stored_rows_sql import stored_rows
from materialization.quality.profiles import QUANTILES, ColumnProfile, Profile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from materialization.quality.profiles import Extreme
    from registry.spec.model import FeatureSpec

#: Values of a sample, all features together, and rows of it at most.
SAMPLE_VALUES, SAMPLE_ROWS = 4_000_000, 200_000
#: How many bars a histogram has, how many values are named.
BARS, NAMED = 20, 10
#: Texts are shown up to here; NUL, which not every database keeps, as its picture.
_SHOWN = 200
_NUL = str.maketrans({"\x00": "\u2400"})
_FLOATS = ("float32", "float64")
#: Of these two values are compared by an order that says nothing.
_WITHOUT_EXTREMES = ("bytes", "list", "vector", "json")


class Asked(Protocol):
    """A DuckDB connection, as far as a profile needs one."""

    def execute(self, query: str, /) -> Any: ...


def profile_files(
    connection: Asked, files: Sequence[str], features: Sequence[FeatureSpec], *, rows: int
) -> Profile:
    """Return the profile of the ``rows`` rows that the Parquet ``files`` have."""
    if not rows:
        return Profile(0, tuple(ColumnProfile(feature.name) for feature in features))
    stored = stored_rows(files)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE sample AS {_sample_sql(stored, features, rows)}"
    )
    ((sampled,),) = connection.execute("SELECT count(*) FROM sample").fetchall()
    columns = [_Column(number, feature) for number, feature in enumerate(features)]
    centres = _one(connection, [each.centre for each in columns], "sample")
    exact = [
        sql for each, centre in zip(columns, centres, strict=True) for sql in each.exact(centre)
    ]
    clean = ", ".join(each.clean for each in columns)
    said = iter(_one(connection, exact, f"(SELECT {clean} FROM {stored})"))
    found = [
        each.profile(rows, centre, said) for each, centre in zip(columns, centres, strict=True)
    ]
    sketched = (_sketched(connection, each, one) for each, one in zip(columns, found, strict=True))
    return Profile(rows, tuple(sketched), sampled)


def _one(connection: Asked, expressions: Sequence[str], relation: str) -> Sequence[Any]:
    (row,) = connection.execute(f"SELECT {', '.join(expressions)} FROM {relation}").fetchall()
    return tuple(row)


def _sample_sql(stored: str, features: Sequence[FeatureSpec], rows: int) -> str:
    """Return SQL for as many rows as the budget allows, all of them where they fit."""
    budget = min(SAMPLE_ROWS, SAMPLE_VALUES // len(features))
    columns = ", ".join(f"{identifier(each.name)} AS v{n}" for n, each in enumerate(features))
    if rows <= budget:
        return f"SELECT {columns} FROM {stored}"
    share = 100 * budget / rows
    return f"SELECT {columns} FROM {stored} TABLESAMPLE system({share:.6f} PERCENT) LIMIT {budget}"


class _Column:
    """What is asked of one feature: as ``v`` of the sample, as ``v`` and ``n`` of all rows.

    ``n`` is its number: NULL where it is NaN, and for what is no number.
    """

    def __init__(self, number: int, feature: FeatureSpec) -> None:
        self.feature, self.kind = feature, feature.value_type
        self.v, self.n = f"v{number}", f"n{number}"
        self.is_float = self.kind.kind in _FLOATS

    @property
    def has_extremes(self) -> bool:
        return self.kind.kind not in _WITHOUT_EXTREMES

    @property
    def clean(self) -> str:
        name = identifier(self.feature.name)
        number = f"CASE WHEN isnan({name}) THEN NULL ELSE {name} END" if self.is_float else name
        return f"{name} AS {self.v}, {number} AS {self.n}"

    @property
    def finite(self) -> str:
        """The sample's finite numbers, as doubles."""
        if self.is_float:
            return f"CASE WHEN isfinite({self.v}) THEN {self.v}::DOUBLE END"
        return f"{self.v}::DOUBLE"

    @property
    def centre(self) -> str:
        """A number near the mean, without an overflow; the moments are taken about it."""
        return f"coalesce(median({self.finite}), 0)" if self.kind.is_numeric else "max(0)"

    def exact(self, centre: float) -> Iterator[str]:
        """Yield what is asked of all rows, in the order in which ``profile`` reads it."""
        yield f"count({self.v})"
        if self.is_float:
            yield f"count({self.n})"
        if self.has_extremes:
            yield from (f"{least}({self._ordered})" for least in ("min", "max"))
        if self.kind.is_numeric:
            apart = f"({self.n}::DOUBLE - {centre!r})"
            yield from (f"avg({apart})", f"avg({apart} * {apart})")

    @property
    def _ordered(self) -> str:
        # Zoned instants come as numbers: their text would follow the session's zone.
        return f"epoch_us({self.n})" if self.kind.kind == "timestamp" else self.n

    def profile(self, rows: int, centre: float, said: Iterator[Any]) -> ColumnProfile:
        full = next(said)
        numbers = next(said) if self.is_float else full
        low, high = (next(said), next(said)) if self.has_extremes else (None, None)
        about, square = (next(said), next(said)) if self.kind.is_numeric else (None, None)
        return ColumnProfile(
            name=self.feature.name,
            rows=rows,
            nulls=rows - full,
            nans=full - numbers,
            minimum=self._extreme(low),
            maximum=self._extreme(high),
            mean=None if about is None else centre + about,
            std=_deviation(about, square),
        )

    def _extreme(self, found: Any) -> Extreme | None:
        if found is None:
            return None
        if self.kind.is_numeric:
            number: Extreme = found
            return number
        return shown_value(from_us(found) if self.kind.kind == "timestamp" else found)


def _deviation(about: float | None, square: float | None) -> float | None:
    if about is None or square is None or not math.isfinite(square):
        return None
    return math.sqrt(max(square - about * about, 0.0))


def _sketched(connection: Asked, column: _Column, found: ColumnProfile) -> ColumnProfile:
    """Add what is taken from the sample."""
    (distinct,) = _one(connection, [f"count(DISTINCT {column.v})"], "sample")
    more: dict[str, Any] = {"distinct": distinct, "top": _top(connection, column)}
    if column.kind.is_numeric:
        (quantiles,) = _one(
            connection, [f"quantile_cont({column.finite}, {list(QUANTILES)})"], "sample"
        )
        more["quantiles"] = tuple(quantiles or ())
        more["edges"], more["bars"] = _histogram(connection, column)
    return msgspec.structs.replace(found, **more)


def _histogram(connection: Asked, column: _Column) -> tuple[tuple[float, ...], tuple[int, ...]]:
    finite = column.finite
    low, high = _one(connection, [f"min({finite})", f"max({finite})"], "sample")
    if low is None or not math.isfinite(high - low):
        return (), ()
    if low == high:
        (count,) = _one(connection, [f"count({finite})"], "sample")
        return (low, high), (count,)
    bar = f"least(floor(({finite} - {low!r}) / {high - low!r} * {BARS}), {BARS - 1})::INTEGER"
    counted = dict(
        connection.execute(
            f"SELECT {bar} AS bar, count(*) FROM sample WHERE {finite} IS NOT NULL GROUP BY bar"
        ).fetchall()
    )
    edges = tuple(float(edge) for edge in np.linspace(low, high, BARS + 1))
    return edges, tuple(counted.get(number, 0) for number in range(BARS))


def _top(connection: Asked, column: _Column) -> tuple[tuple[str, int], ...]:
    """Return the most frequent values; nothing of what is long, or as good as never the same."""
    if not column.has_extremes:
        return ()
    rows = connection.execute(
        f"SELECT {column.v}::VARCHAR, count(*) AS times FROM sample WHERE {column.v} IS NOT NULL"
        f" GROUP BY {column.v} HAVING times > 1 ORDER BY times DESC, {column.v} LIMIT {NAMED}"
    ).fetchall()
    return tuple((shown_value(value), times) for value, times in rows)


def shown_value(value: Any) -> str:
    """Return a value as people and databases can have it: cut where it is long, without NUL."""
    shown = value.isoformat() if hasattr(value, "isoformat") else str(value)
    return shown[:_SHOWN].translate(_NUL)
