"""What one run's rows look like, feature by feature, gathered while they stream by. [pure]

Not for judging them: ``expectations`` does. Profiles of parts merge into the profile of the whole.
"""

from __future__ import annotations

import hashlib
import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.spec.model import FeatureSpec, VersionSpec
    from registry.spec.value_types import ValueType

#: The smallest hashes a sketch keeps: exact below this many distinct values, some 3 % off above.
SKETCH = 1024
_HASHES = 2.0**64
#: Texts are shown up to here; NUL, which not every database keeps, as its picture.
_SHOWN = 200
_NUL = str.maketrans({"\x00": "\u2400"})
#: The least or greatest value of a column.
Extreme: TypeAlias = float | int | Decimal | str


class ColumnProfile(msgspec.Struct, frozen=True):
    """One feature over ``rows`` rows. NULL and NaN are told apart; numbers leave both out.

    ``minimum`` and ``maximum`` are exact numbers, or texts for what has another order; ``total`` is
    the sum behind the mean, to the digits of a double. ``not_allowed`` counts values outside the
    definition's ``allowed`` list.
    """

    name: str
    rows: int = 0
    nulls: int = 0
    nans: int = 0
    minimum: Extreme | None = None
    maximum: Extreme | None = None
    total: float = 0.0
    numbers: int = 0
    sketch: tuple[int, ...] = ()
    not_allowed: int = 0
    not_allowed_example: str | None = None

    @property
    def mean(self) -> float | None:
        return self.total / self.numbers if self.numbers else None

    @property
    def distinct(self) -> int:
        """How many different values, NULL aside; an estimate above ``SKETCH``."""
        if len(self.sketch) < SKETCH:
            return len(self.sketch)
        return round((SKETCH - 1) / ((self.sketch[-1] + 1) / _HASHES))

    def to_json(self) -> dict[str, Any]:
        shown = {
            "name": self.name,
            "rows": self.rows,
            "nulls": self.nulls,
            "nans": self.nans,
            "min": self.minimum,
            "max": self.maximum,
            "mean": self.mean,
            "distinct": self.distinct,
            "not_allowed": self.not_allowed,
        }
        return {key: _plain(value) for key, value in shown.items()}


class Profile(msgspec.Struct, frozen=True):
    rows: int
    columns: tuple[ColumnProfile, ...]

    def to_json(self) -> dict[str, Any]:
        """Return what is kept on a run: plain JSON, one object a feature, no sketches, no NaN."""
        return {"rows": self.rows, "columns": [column.to_json() for column in self.columns]}


class Profiler:
    """The profile of a stream of computed batches, so far."""

    def __init__(self, spec: VersionSpec) -> None:
        self._features = spec.features
        self._profile = empty_profile(spec.features)

    @property
    def rows(self) -> int:
        return self._profile.rows

    def add(self, batch: pa.RecordBatch) -> None:
        self._profile = merge_profiles(self._profile, profile_batch(batch, self._features))

    def result(self) -> Profile:
        return self._profile


def empty_profile(features: Sequence[FeatureSpec]) -> Profile:
    return Profile(0, tuple(ColumnProfile(feature.name) for feature in features))


def profile_batch(batch: pa.RecordBatch, features: Sequence[FeatureSpec]) -> Profile:
    """Return the profile of one batch of computed rows."""
    columns = (_profile_column(batch.column(feature.name), feature) for feature in features)
    return Profile(batch.num_rows, tuple(columns))


def merge_profiles(left: Profile, right: Profile) -> Profile:
    """Return the profile of the rows of both; columns must be the same, in the same order."""
    pairs = zip(left.columns, right.columns, strict=True)
    return Profile(left.rows + right.rows, tuple(_merge(a, b) for a, b in pairs))


def _merge(left: ColumnProfile, right: ColumnProfile) -> ColumnProfile:
    return ColumnProfile(
        name=left.name,
        rows=left.rows + right.rows,
        nulls=left.nulls + right.nulls,
        nans=left.nans + right.nans,
        minimum=_outer(min, left.minimum, right.minimum),
        maximum=_outer(max, left.maximum, right.maximum),
        total=left.total + right.total,
        numbers=left.numbers + right.numbers,
        sketch=tuple(sorted({*left.sketch, *right.sketch})[:SKETCH]),
        not_allowed=left.not_allowed + right.not_allowed,
        not_allowed_example=left.not_allowed_example or right.not_allowed_example,
    )


def _outer(choose: Any, left: Any, right: Any) -> Any:
    return choose((value for value in (left, right) if value is not None), default=None)


def _profile_column(column: pa.Array, feature: FeatureSpec) -> ColumnProfile:
    values = column.drop_null()
    nans = 0
    if pa.types.is_floating(values.type):
        is_nan = pc.is_nan(values)
        nans = pc.sum(is_nan).as_py() or 0
        values = values.filter(pc.invert(is_nan))
    not_allowed, example = _not_allowed(values, feature)
    minimum, maximum = _extent(values)
    total = _total(values)
    return ColumnProfile(
        name=feature.name,
        rows=len(column),
        nulls=column.null_count,
        nans=nans,
        minimum=minimum,
        maximum=maximum,
        total=total or 0.0,
        numbers=len(values) if total is not None else 0,
        sketch=_sketch(values, has_nan=nans > 0),
        not_allowed=not_allowed,
        not_allowed_example=example,
    )


def _is_number(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))


def _extent(values: pa.Array) -> tuple[Any, Any]:
    """Return least and greatest as numbers or texts; nothing for lists, vectors and bytes."""
    if not len(values) or pa.types.is_nested(values.type) or pa.types.is_binary(values.type):
        return None, None
    low, high = pc.min_max(values).as_py().values()
    return (low, high) if _is_number(values.type) else (_shown(low), _shown(high))


def _shown(value: Any) -> str:
    text = value.isoformat() if hasattr(value, "isoformat") else str(value)
    return text[:_SHOWN].translate(_NUL)


def shown_number(value: float | Decimal, value_type: ValueType) -> str:
    """Write a number in the fewest digits that say which value of the type it is."""
    if isinstance(value, float):
        return str(np.float32(value)) if value_type.kind == "float32" else repr(value)
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _total(values: pa.Array) -> float | None:
    if not _is_number(values.type):
        return None
    # Not safe: of an integer beyond 2^53 the mean needs the first digits only.
    doubles = values.cast(pa.float64(), safe=False)
    # Infinities of both signs have no sum; the mean is then NaN, which is what it is.
    return float(pc.sum(doubles).as_py() or 0.0)


def _not_allowed(values: pa.Array, feature: FeatureSpec) -> tuple[int, str | None]:
    if feature.checks.allowed is None:
        return 0, None
    counts = pc.value_counts(values).to_pylist()
    outside = [item for item in counts if not _is_allowed(item["values"], feature.checks.allowed)]
    example = _shown(outside[0]["values"])[:80] if outside else None
    return sum(item["counts"] for item in outside), example


def _is_allowed(value: object, allowed: tuple[str | int | bool, ...]) -> bool:
    """Compare typed: in Python True is 1, in a definition it is not."""
    return any(
        value == item and isinstance(value, bool) == isinstance(item, bool) for item in allowed
    )


def _sketch(values: pa.Array, *, has_nan: bool) -> tuple[int, ...]:
    hashes = {_text_hash("nan")} if has_nan else set()
    if len(values):
        hashes |= set(_hashes(values)[:SKETCH].tolist())
    return tuple(sorted(hashes)[:SKETCH])


def _hashes(values: pa.Array) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Return the sorted hashes of the distinct values."""
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        wide = values.cast(pa.int64() if pa.types.is_integer(values.type) else pa.float64())
        return np.unique(_mix(wide.to_numpy(zero_copy_only=False).view(np.uint64)))
    unique = values if pa.types.is_nested(values.type) else pc.unique(values)
    return np.unique(np.fromiter((_text_hash(repr(v)) for v in unique.to_pylist()), np.uint64))


def _mix(bits: np.ndarray[Any, np.dtype[np.uint64]]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Spread 64 bits over 64 bits (the finalizer of SplitMix64)."""
    with np.errstate(over="ignore"):
        bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return bits ^ (bits >> np.uint64(31))


def _text_hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())


def _plain(value: Any) -> Any:
    """JSON has no infinities and no decimals: they are written as words and as exact text."""
    if isinstance(value, Decimal):
        return format(value, "f")
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
