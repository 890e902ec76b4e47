# ruff: noqa: S608 - names and texts are quoted by sql_text, the rest are numbers
"""What to ask DuckDB for a profile of a run's rows, and how to read what it said. [pure]

Not for what a profile is: ``profiles`` has that. Counts, extremes and moments are exact, by one
pass over the staged files; what needs every value in hand (distinct, quantiles, histogram, most
frequent) is of a sample, whose size is said.
"""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np

from lib.instants import from_us
from lib.sql_text import identifier
from materialization.compute.stored_rows_sql import stored_rows
from materialization.quality.distributions import marks_of
from materialization.quality.ordered_sample import WHOLE, counted, histogram, quantiles
from materialization.quality.profiles import (
    NAMED,
    ColumnProfile,
    Profile,
    most_frequent,
)
from materialization.quality.shown_values import named, shown_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from materialization.quality.distributions import Numbers
    from materialization.quality.profiles import Extreme
    from registry.spec.model import FeatureSpec

#: Values of a sample, all features together, and rows of it at most.
SAMPLE_VALUES, SAMPLE_ROWS = 4_000_000, 200_000
_FLOATS = ("float32", "float64")
#: Whole numbers up to here, and down to its negative, are all doubles.
_EXACT = 2**53
#: Of these two values are compared by an order that says nothing.
_WITHOUT_EXTREMES = ("bytes", "list", "vector", "json")
#: How long after 1970 an instant and a day are: in seconds, and in days.
_MEASURES = {
    "timestamp": "epoch_us({v})::DOUBLE / 1000000",
    "date": "datediff('day', DATE '1970-01-01', {v})::DOUBLE",
}


class Asked(Protocol):
    """A DuckDB connection, as far as a profile needs one."""

    def execute(self, query: str, /) -> Any: ...


def profile_files(
    connection: Asked,
    files: Sequence[str],
    features: Sequence[FeatureSpec],
    *,
    rows: int,
    among: Sequence[str] = (),
) -> Profile:
    """Return the profile of the ``rows`` rows that the Parquet ``files`` have.

    ``among``: all columns of the files, in their order, where not all names are ours: of two that
    differ in case only DuckDB would take one for the other.
    """
    if not rows:
        return Profile(0, tuple(ColumnProfile(feature.name) for feature in features))
    stored = stored_rows(files)
    if among:
        stored += f" AS s({', '.join(f'c{place}' for place, _ in enumerate(among))})"
    places = {name: f"c{place}" for place, name in enumerate(among)}
    columns = [
        _Column(number, feature, places[feature.name] if among else identifier(feature.name))
        for number, feature in enumerate(features)
    ]
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE sample AS {_sample_sql(stored, columns, rows)}"
    )
    ((sampled,),) = connection.execute("SELECT count(*) FROM sample").fetchall()
    centres = _one(connection, [each.centre for each in columns], "sample")
    found = _exact(connection, stored, list(zip(columns, centres, strict=True)), rows)
    sketched = (_sketched(connection, each, one) for each, one in zip(columns, found, strict=True))
    return Profile(rows, tuple(sketched), sampled)


def _exact(
    connection: Asked, stored: str, columns: Sequence[tuple[_Column, float]], rows: int
) -> list[ColumnProfile]:
    """Return what is counted of all rows.

    Counts and extremes of whole numbers stand in the files' statistics, where DuckDB finds them if
    it is asked for nothing else; those of floats do not, which may be NaN. A mean that is NaN says
    that some are: of those columns the others are counted once more.
    """
    kept = {n: each.ends for n, (each, _) in enumerate(columns) if each.is_in_statistics}
    moments = {n: each.moments(centre) for n, (each, centre) in enumerate(columns)}
    rest = {n: columns[n][0].ends if n not in kept else [] for n in moments}
    said = _asked(connection, stored, kept)
    about = _asked(connection, stored, {n: [*rest[n], *moments[n]] for n in moments})
    found = []
    for number, (each, centre) in enumerate(columns):
        numbers = [*said.get(number, ()), *about[number]]
        full = numbers[0]
        if each.is_float and numbers[-1] is not None and math.isnan(numbers[-1]):
            clean = f"(SELECT {each.without_nan} FROM {stored})"
            numbers = list(_one(connection, [*each.ends, *moments[number]], clean))
        found.append(each.profile(rows, centre, full, numbers))
    return found


def _asked(
    connection: Asked, relation: str, expressions: dict[int, list[str]]
) -> dict[int, list[Any]]:
    """Return what each of some columns asks for, of one reading."""
    wanted = [sql for each in expressions.values() for sql in each]
    said = iter(_one(connection, wanted, relation) if wanted else ())
    return {number: list(islice(said, len(each))) for number, each in expressions.items()}


def _one(connection: Asked, expressions: Sequence[str], relation: str) -> Sequence[Any]:
    (row,) = connection.execute(f"SELECT {', '.join(expressions)} FROM {relation}").fetchall()
    return tuple(row)


def _sample_sql(stored: str, of: Sequence[_Column], rows: int) -> str:
    """Return SQL for as many rows as the budget allows, all of them where they fit."""
    budget = min(SAMPLE_ROWS, SAMPLE_VALUES // len(of))
    columns = ", ".join(f"{each.name} AS {each.v}" for each in of)
    if rows <= budget:
        return f"SELECT {columns} FROM {stored}"
    share = 100 * budget / rows
    # Row by row: rows that lie together are often alike, and blocks of them would be few.
    return f"SELECT {columns} FROM {stored} TABLESAMPLE bernoulli({share:.6f} PERCENT)"


class _Column:
    """What is asked of one feature: as ``v`` of the sample, as ``name`` of all rows."""

    def __init__(self, number: int, feature: FeatureSpec, name: str) -> None:
        self.feature, self.kind = feature, feature.value_type
        self.v, self.name = f"v{number}", name
        self.is_float = self.kind.kind in _FLOATS

    @property
    def is_in_statistics(self) -> bool:
        return self.kind.is_numeric and not self.is_float

    @property
    def has_extremes(self) -> bool:
        return self.kind.kind not in _WITHOUT_EXTREMES

    @property
    def without_nan(self) -> str:
        return f"CASE WHEN isnan({self.name}) THEN NULL ELSE {self.name} END AS {self.name}"

    @property
    def measure(self) -> str:
        """The value as a double; empty for what has no distance."""
        return _MEASURES.get(self.kind.kind, "{v}::DOUBLE" if self.kind.is_numeric else "").format(
            v=self.v
        )

    def is_in_doubles(self, found: ColumnProfile) -> bool:
        """Tell whether each of its values is a double, so that they can be counted as such."""
        if self.kind.kind not in WHOLE:
            return self.is_float
        low, high = found.minimum or 0, found.maximum or 0
        return low >= -_EXACT and high <= _EXACT  # type: ignore[operator]

    @property
    def centre(self) -> str:
        """A number near the mean, without an overflow; the moments are taken about it."""
        if not self.kind.is_numeric:
            return "max(0)"
        number = f"{self.v}::DOUBLE"
        if self.is_float:
            number = f"CASE WHEN isfinite({self.v}) THEN {number} END"
        return f"coalesce(median({number}), 0)"

    @property
    def ends(self) -> list[str]:
        """How many values there are, and the least and the greatest."""
        if not self.has_extremes:
            return [f"count({self.name})"]
        ends = (f"{least}({self.name})" for least in ("min", "max"))
        # Zoned instants come as numbers: their text would follow the session's zone.
        shape = "epoch_us({})" if self.kind.kind == "timestamp" else "{}"
        return [f"count({self.name})", *map(shape.format, ends)]

    def moments(self, centre: float) -> list[str]:
        if not self.kind.is_numeric:
            return []
        apart = f"({self.name}::DOUBLE - {centre!r})"
        return [f"avg({apart})", f"avg({apart} * {apart})"]

    def profile(self, rows: int, centre: float, full: int, said: Sequence[Any]) -> ColumnProfile:
        """Return what was ``said`` of the numbers among ``full`` values, or of all of them."""
        numbers, *ends = said[: len(self.ends)]
        low, high = ends or (None, None)
        about, square = said[len(self.ends) :] or (None, None)
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
    numbers = _ordered(connection, column) if column.measure else None
    if numbers is not None and column.is_in_doubles(found):
        more = counted(numbers, column.kind, nans=found.nans)
    else:
        distinct = f"count(DISTINCT {column.v})"
        names = "distinct", "seen"
        found_out = _one(connection, [distinct, f"count({column.v})"], "sample")
        more = dict(zip(names, found_out, strict=True))
        more["top"] = _top(connection, column)
    if numbers is not None:
        more |= {"marks": marks_of(numbers), "seen": len(numbers)}
        if column.kind.is_numeric:
            finite = numbers[np.isfinite(numbers)]
            more["quantiles"] = quantiles(finite)
            more["edges"], more["bars"] = histogram(finite)
    return msgspec.structs.replace(found, **more)


def _ordered(connection: Asked, column: _Column) -> Numbers:
    """Return the sample's values as doubles in ascending order, without NULL and NaN."""
    asked = f"SELECT {column.measure} AS x FROM sample WHERE {column.v} IS NOT NULL"
    numbers: Numbers = np.ma.compressed(connection.execute(asked).fetchnumpy()["x"])
    return np.sort(numbers[~np.isnan(numbers)])


def _top(connection: Asked, column: _Column) -> tuple[tuple[str, int], ...]:
    """Return the most frequent values; nothing of what is long, or as good as never the same."""
    if not column.has_extremes:
        return ()
    rows = connection.execute(
        f"SELECT {column.v}::VARCHAR, count(*) AS times FROM sample WHERE {column.v} IS NOT NULL"
        f" GROUP BY {column.v} HAVING times > 1 ORDER BY times DESC, {column.v} LIMIT {NAMED}"
    ).fetchall()
    return most_frequent((named(value), times) for value, times in rows)
