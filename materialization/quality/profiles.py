"""What one run's rows look like, feature by feature, and how that is written down. [pure]

Not for finding it out (``profiling``), merging it (``merging``) or judging it (``expectations``).
"""

from __future__ import annotations

import math
from decimal import Decimal
from itertools import accumulate, takewhile
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from registry.spec.model import FeatureSpec
    from registry.spec.value_types import ValueType

#: Which quantiles are kept.
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
#: How many values are named, and how many characters all of them have.
NAMED, NAMED_CHARACTERS = 50, 4_000
#: The least or greatest value of a column.
Extreme: TypeAlias = float | int | Decimal | str

#: How an extreme is read again, of the types that are numbers.
_NUMBERS: dict[str, Callable[[Any], Extreme]] = {
    "int32": int,
    "int64": int,
    "float32": float,
    "float64": float,
    "decimal": Decimal,
}


class ColumnProfile(msgspec.Struct, frozen=True):
    """One feature over ``rows`` rows. NULL and NaN are told apart; numbers leave both out.

    ``minimum`` and ``maximum`` are exact numbers, or texts for what has another order. ``mean`` and
    ``std`` (of the population) are those of the numbers, to the digits of a double; None without
    one, or where there is none (an infinity is among them). ``distinct`` and what follows it are of
    the sample. Instants and days have marks as well, in seconds and days since 1970.
    """

    name: str
    rows: int = 0
    nulls: int = 0
    nans: int = 0
    minimum: Extreme | None = None
    maximum: Extreme | None = None
    mean: float | None = None
    std: float | None = None
    distinct: int = 0
    quantiles: tuple[float, ...] = ()
    #: The edges of equally wide bars, and how many values lie in each.
    edges: tuple[float, ...] = ()
    bars: tuple[int, ...] = ()
    #: See ``distributions``.
    marks: tuple[float, ...] = ()
    #: How many values marks and top are of: those of the sample, without NULL and NaN.
    seen: int = 0
    #: The most frequent values as texts, and how often each occurs.
    top: tuple[tuple[str, int], ...] = ()

    @property
    def values(self) -> int:
        """How many rows have a value that is not NaN."""
        return self.rows - self.nulls - self.nans

    def to_json(self) -> dict[str, Any]:
        shown = {
            "name": self.name,
            "rows": self.rows,
            "nulls": self.nulls,
            "nans": self.nans,
            "min": self.minimum,
            "max": self.maximum,
            "mean": self.mean,
            "std": self.std,
            "distinct": self.distinct,
            "quantiles": dict(zip(map(str, QUANTILES), self.quantiles, strict=False)),
            "edges": list(self.edges),
            "bars": list(self.bars),
            "marks": [_plain(mark) for mark in self.marks],
            "seen": self.seen,
            "top": [list(each) for each in self.top],
        }
        return {key: _plain(value) for key, value in shown.items()}

    @classmethod
    def from_json(cls, said: Mapping[str, Any], kind: ValueType) -> ColumnProfile:
        """Read what ``to_json`` wrote of a feature of this type."""
        number = _NUMBERS.get(kind.kind)
        low, high = (
            value if value is None or number is None else number(value)
            for value in (said["min"], said["max"])
        )
        return cls(
            name=said["name"],
            rows=said["rows"],
            nulls=said["nulls"],
            nans=said["nans"],
            minimum=low,
            maximum=high,
            mean=None if said["mean"] is None else float(said["mean"]),
            std=said["std"],
            distinct=said["distinct"],
            quantiles=tuple(said["quantiles"].values()),
            edges=tuple(said["edges"]),
            bars=tuple(said["bars"]),
            marks=tuple(map(float, said["marks"])),
            seen=said["seen"],
            top=tuple((value, times) for value, times in said["top"]),
        )


class Profile(msgspec.Struct, frozen=True):
    """``sampled`` of the ``rows`` are what distinct counts, quantiles and histograms are of."""

    rows: int
    columns: tuple[ColumnProfile, ...]
    sampled: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return what is kept on a run: plain JSON, one object a feature, no NaN."""
        columns = [column.to_json() for column in self.columns]
        return {"rows": self.rows, "sampled": self.sampled, "columns": columns}

    @classmethod
    def from_json(cls, said: Mapping[str, Any], features: Sequence[FeatureSpec]) -> Profile:
        """Read what ``to_json`` wrote of the same features, in whatever order they are."""
        kinds = {feature.name: feature.value_type for feature in features}
        columns = tuple(
            ColumnProfile.from_json(each, kinds[each["name"]]) for each in said["columns"]
        )
        return cls(said["rows"], columns, said["sampled"])


def most_frequent(counted: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """Return the most frequent of the counted texts, as many as are named, in their order."""
    ordered = sorted(counted, key=lambda each: (-each[1], each[0]))[:NAMED]
    lengths = accumulate(len(name) for name, _ in ordered)
    kept = takewhile(lambda pair: pair[1] <= NAMED_CHARACTERS, zip(ordered, lengths, strict=True))
    return tuple(each for each, _ in kept)


def shown_number(value: float | Decimal, value_type: ValueType) -> str:
    """Write a number in the fewest digits that say which value of the type it is."""
    if isinstance(value, float):
        return str(np.float32(value)) if value_type.kind == "float32" else repr(value)
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _plain(value: Any) -> Any:
    """JSON has no infinities and no decimals: they are written as words and as exact text."""
    if isinstance(value, Decimal):
        return format(value, "f")
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
