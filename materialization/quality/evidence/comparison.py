"""Two versions' values for the same entities at the same times: how many are equal, and which not.

Both are asked as a training set asks, at the times of rows that either has. Not for drawing it.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from materialization.compute.questions import JoinQuestion, Timing
from materialization.quality.distributions import marks_of
from materialization.quality.drift import drift_between
from materialization.quality.evidence.showing import shown_at
from materialization.quality.profiles import ColumnProfile, Profile, most_frequent
from materialization.stores.columns import CREATED, EVENT, INSTANT, key_fields

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from materialization.compute.engine import Engine
    from materialization.quality.evidence.trial import Trial

#: Entities and times that both are asked for, half of them of each version's rows.
ASKED = 10_000
#: The rows of each feature that differ most.
EXAMPLES = 10


class Found(NamedTuple):
    """``rows`` were asked for; by feature what can be told to all, and what only to readers."""

    rows: int
    facts: dict[str, dict[str, Any]]
    values: dict[str, list[dict[str, Any]]]


def rows_of(trials: Sequence[Trial], *, engine: Engine, when_known: bool = False) -> pa.Table:
    """Return join keys and times of rows that the trials made, each as likely as any other.

    The times are those of their events, or when the rows were known.
    """
    schema = pa.schema([*key_fields(trials[-1].spec), pa.field(EVENT, INSTANT)])
    share = ASKED // len(trials)
    parts = [engine.some_rows(each.files, each.spec, share) for each in trials]
    if when_known:
        parts = list(map(_when_known, parts))
    return pa.concat_tables([part.select(schema.names).cast(schema) for part in parts])


def _when_known(rows: pa.Table) -> pa.Table:
    """Have each row's time be the later of its event and when it was known."""
    event, created = rows[EVENT], rows[CREATED]
    later = pc.if_else(pc.greater(created, event), created, event)
    return rows.set_column(rows.column_names.index(EVENT), EVENT, later)


def compare_trials(
    before: Trial,
    after: Trial,
    *,
    asked: pa.Table,
    engine: Engine,
    timing: Timing = Timing.EVENT,
) -> Found:
    """Compare what both answer for each feature that both have.

    Both have the join keys of ``asked``. By default what is true at a time counts, whenever it was
    known: a source that was loaded late would have answers for no time otherwise.
    """
    features = shared_features(before, after)
    questions = [
        JoinQuestion(each.spec, each.files, features, asked, timing) for each in (before, after)
    ]
    old, new = (answer.rows for answer in engine.point_in_time_joins(questions))
    compared = {name: _compare(old[name], new[name], asked) for name in features}
    return Found(
        asked.num_rows,
        {name: facts for name, (facts, _) in compared.items()},
        {name: examples for name, (_, examples) in compared.items() if examples},
    )


def shared_features(before: Trial, after: Trial) -> tuple[str, ...]:
    there = {feature.name for feature in before.spec.features}
    return tuple(feature.name for feature in after.spec.features if feature.name in there)


def _compare(
    old: pa.ChunkedArray, new: pa.ChunkedArray, asked: pa.Table
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    rows = len(new)
    is_same = _equal(old, new)
    no_old, no_new = (pc.is_null(each).to_numpy() for each in (old, new))
    drift = drift_between(*(Profile(rows, (_column(each),)) for each in (old, new)))["value"]
    facts = {
        "equal": int(is_same.sum()),
        "only_before": int((~no_old & no_new).sum()),
        "only_after": int((no_old & ~no_new).sum()),
        "psi": _plain(drift.psi),
        "ks": _plain(drift.ks),
    }
    places = _furthest(old, new, np.flatnonzero(~is_same))
    return facts, list(_examples(old, new, asked, places))


def _plain(measure: float | None) -> float | None:
    return None if measure is None or not np.isfinite(measure) else measure


def _equal(old: pa.ChunkedArray, new: pa.ChunkedArray) -> Any:
    """Return where both say the same; NULL is like NULL, NaN like NaN, and a type like no other.

    Numbers of two types are equal where neither has lost a digit of the other's.
    """
    if old.type != new.type and _is_number(old.type) and _is_number(new.type):
        pairs = zip(old.to_pylist(), new.to_pylist(), strict=True)
        return np.fromiter((_same_number(a, b) for a, b in pairs), bool, count=len(new))
    if old.type != new.type or pa.types.is_nested(old.type):
        # As texts: NaN inside a list is like NaN.
        texts = zip(_texts(old), _texts(new), strict=True)
        return np.fromiter((a == b for a, b in texts), bool, count=len(new))
    same = pc.fill_null(pc.equal(old, new), False)
    same = pc.or_(same, pc.and_(pc.is_null(old), pc.is_null(new)))
    if pa.types.is_floating(old.type):
        both = pc.and_(pc.is_nan(old), pc.is_nan(new))
        same = pc.or_(same, pc.fill_null(both, False))
    return same.to_numpy()


def _same_number(a: Any, b: Any) -> bool:
    if a is None or b is None:
        return a is b
    if isinstance(a, float) != isinstance(b, float) and Decimal in (type(a), type(b)):
        a, b = float(a), float(b)  # the double that is nearest to the decimal, not its digits
    # Python compares integers with doubles exactly.
    return bool(a == b) or bool(a != a and b != b)


def _is_number(kind: pa.DataType) -> bool:
    families = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    return any(belongs(kind) for belongs in families)


def _texts(column: pa.ChunkedArray) -> list[str]:
    """Return the values as texts; instants as numbers: Python has no date for the furthest."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    return [repr(value) for value in column.to_pylist()]


def _numbers(column: pa.ChunkedArray) -> Any:
    """Return the values as doubles, NULL as NaN; None of a type that is no number."""
    if not _is_number(column.type):
        return None
    return pc.fill_null(column.cast(pa.float64(), safe=False), np.nan).to_numpy()


def _column(column: pa.ChunkedArray) -> ColumnProfile:
    """Return as much of a profile as it takes to say how far two columns lie apart."""
    numbers = _numbers(column)
    if numbers is not None:
        known = np.sort(numbers[~np.isnan(numbers)])
        nans = len(numbers) - len(known) - column.null_count
        return ColumnProfile(
            "value", len(column), column.null_count, nans, marks=marks_of(known), seen=len(known)
        )
    texts = Counter(_texts(column.drop_null()))
    return ColumnProfile(
        "value", len(column), column.null_count, top=most_frequent(texts.items()),
        seen=texts.total(),
    )  # fmt: skip


def _furthest(old: pa.ChunkedArray, new: pa.ChunkedArray, places: Any) -> Sequence[int]:
    """Return the places of those rows that differ most; of what has no distance the first."""
    before, after = _numbers(old), _numbers(new)
    if before is None or after is None:
        return [int(place) for place in places[:EXAMPLES]]
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(after[places] - before[places])
    # A value on one side only has no distance: those come last, as many as there is room for.
    order = np.argsort(-np.nan_to_num(apart, nan=-1.0, posinf=np.inf), kind="stable")
    return [int(place) for place in places[order][:EXAMPLES]]


def _examples(
    old: pa.ChunkedArray, new: pa.ChunkedArray, asked: pa.Table, places: Sequence[int]
) -> Iterator[dict[str, Any]]:
    keys = [name for name in asked.column_names if name != EVENT]
    for place in places:
        yield {
            "key": {name: shown_at(asked[name], place) for name in keys},
            EVENT: shown_at(asked[EVENT], place),
            "before": shown_at(old, place),
            "after": shown_at(new, place),
        }
