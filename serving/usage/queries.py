"""What is asked of usage: added up by view, version, feature, service, reader, door or day.

Not for who may ask (``asking``) nor for HTTP (``api``). Rows flow by some at a time: what an answer
takes in memory is what it says, however many reads there were.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from serving.usage.noting import BOUNDS, First
from serving.usage.rows import OF_FEATURES, STATUS_COLUMNS, WITHIN_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from materialization.stores.usage_table import UsageTable

#: What may be asked for apart, and the column that has it.
BY = {
    "view": "feature_view",
    "version": "version",
    "feature": "feature",
    "through": "through",
    "service": "service",
    "reader": "reader",
    "door": "door",
    "day": "day",
}
#: What all records of a call say of it: it counts once.
_OF_CALL = ("reads", "rows", "seconds", *WITHIN_COLUMNS)
_SUMS = ("reads", "rows", *STATUS_COLUMNS, "seconds", *WITHIN_COLUMNS)
_AGGREGATES = [
    *((name, "sum") for name in _SUMS), ("slowest", "max"), ("at", "min"), ("until", "max")
]  # fmt: skip
#: All features that one row read, as they are written while it is added up: no name has a space.
_TEXT = "features"
#: The place of a row among others.
_PLACE = "place"
#: Rows of one feature each that are held at once.
_AT_ONCE = 100_000
_NAMES = [f"{name}_{how}" for name, how in _AGGREGATES]


class Asked(NamedTuple):
    """Of one project's reads those that fit; empty fits all. ``readers`` are pseudonyms."""

    project: str
    since: datetime
    view: str = ""
    version: str = ""
    feature: str = ""
    service: str = ""
    readers: tuple[str, ...] = ()
    #: Of other views than these only what ``own`` read; None: of all views.
    views: tuple[str, ...] | None = None
    own: str = ""
    #: Of these versions only, as ``view@1.2.0``; None: of all.
    versions: tuple[str, ...] | None = None
    #: The views and services that a token is told of, where it is limited: what was read of other
    #: views is none of it, nor are other names said. None: of all.
    within: tuple[str, ...] | None = None
    services: tuple[str, ...] | None = None


class Used(NamedTuple):
    """Reads that are alike in ``by``, added up; ``features`` are those that any of them read."""

    by: dict[str, Any]
    features: list[str]
    reads: int
    rows: int
    statuses: dict[str, int]
    #: None where no read was timed; then nothing is ``within`` anything.
    mean_seconds: float | None
    slowest_seconds: float | None
    within: list[int]
    first_at: datetime
    last_at: datetime

    @property
    def p99_words(self) -> str:
        if self.mean_seconds is None:
            return "not timed"
        within = self.percentile(0.99)
        return f"more than {BOUNDS[-1]} s" if within is None else f"{within * 1000:g} ms"

    def percentile(self, share: float) -> float | None:
        """Return the seconds within which at least this share was answered; None: beyond all."""
        seen, timed = 0, sum(self.within)
        for bound, count in zip((*BOUNDS, None), self.within, strict=True):
            seen += count
            if timed and seen >= share * timed:
                return bound
        return None


class Question(NamedTuple):
    """What is told apart (of ``BY``), of these versions only where any are named."""

    by: Sequence[str]
    versions: tuple[str, ...] | None = None


def answers(table: UsageTable, asked: Asked, questions: Sequence[Question]) -> Iterator[list[Used]]:
    """Answer several questions of the reads that fit, which are looked through once.

    Each answer has the most reads first.
    """
    sums = []
    for by, versions in questions:
        told = asked if versions is None else asked._replace(versions=versions)
        sums.append(_Sums(told, by))
    of_features = any(asked.feature or "feature" in by for by, _ in questions)
    for rows in _rows(table, asked, of_features=of_features):
        for (_, versions), each in zip(questions, sums, strict=True):
            some = rows if versions is None else rows.filter(_of_versions(versions))
            if some.num_rows:
                each.add(some)
    return (each.found() for each in sums)


class _Sums:
    """What one question has added up so far."""

    def __init__(self, asked: Asked, by: Sequence[str]) -> None:
        self._by, self._keys = by, [BY[each] for each in by]
        self._feature, self._once = asked.feature, _once(asked, by)
        self._sums: list[pa.Table] = []
        self._features: dict[tuple[Any, ...], set[str]] = {}

    def add(self, rows: pa.Table) -> None:
        if self._feature or "feature" in self._by:
            self._add_features(rows)
            return
        alike = _summed(_counted(rows, self._once), [*self._keys, _TEXT])
        for some in _exploded(alike.select([*self._keys, _TEXT])):
            for *key, feature in _distinct(some, [*self._keys, "feature"]):
                self._features.setdefault(tuple(key), set()).add(feature)
        self._add(alike.drop_columns([_TEXT]))

    def _add_features(self, rows: pa.Table) -> None:
        """Add what rows tell of each feature by itself: it was read in all calls of its row."""
        name, apart = self._feature, [key for key in self._keys if key != "feature"]
        some = rows.filter(pc.match_substring(rows[_TEXT], name)) if name else rows
        for each in _exploded(_summed_with_features(some, [*apart, _TEXT])):
            fitting = each.filter(pc.field("feature") == name) if name else each
            if fitting.num_rows:
                self._add(fitting.select([*self._keys, *_NAMES]))

    def _add(self, sums: pa.Table) -> None:
        self._sums = [_added(pa.concat_tables([*self._sums, sums]), self._keys)]

    def found(self) -> list[Used]:
        rows = (row for each in self._sums for row in each.to_pylist())
        found = [_used(row, self._by, self._named(row)) for row in rows]
        return sorted(found, key=lambda each: (-each.reads, *map(str, each.by.values())))

    def _named(self, row: dict[str, Any]) -> Iterable[str]:
        """Return the features of a row of sums."""
        if "feature" in self._by:
            return [row["feature"]]
        if self._feature:
            return [self._feature]
        return self._features[tuple(row[key] for key in self._keys)]


def _rows(table: UsageTable, asked: Asked, *, of_features: bool) -> Iterator[pa.Table]:
    """Yield the rows that fit, with their features as one text: it is what is alike.

    What each feature had by itself, the longest column, is read where it is asked for.
    """
    columns = [
        *(column for column in BY.values() if column != "feature"),
        "features", "first", *_SUMS, "slowest", "at", "until",
        *([OF_FEATURES] if of_features else []),
    ]  # fmt: skip
    for batch in table.batches(columns, fitting(asked)):
        rows = _told(pa.Table.from_batches([batch]), asked)
        if rows.num_rows:
            text = pc.binary_join(rows["features"], " ")
            yield rows.drop_columns(["features"]).append_column(_TEXT, text)


def _once(asked: Asked, by: Sequence[str]) -> First:
    """Return what a call counts once of, so that no two of its records are in one row twice.

    Where only some of its records fit, the first of the call may be another.
    """
    if asked.feature or not {"feature", "through"}.isdisjoint(by):
        return First.OF_NOTHING
    if asked.version or asked.versions is not None or "version" in by:
        return First.OF_VERSION
    if asked.view or asked.views or asked.within is not None or "view" in by:
        return First.OF_VIEW
    return First.OF_CALL


def _counted(rows: pa.Table, once: First) -> pa.Table:
    """Return the rows with numbers of calls only where a row is the first of what counts once."""
    counts = pc.less_equal(rows["first"], pa.scalar(int(once), pa.int8()))
    for name in _OF_CALL:
        column = rows[name]
        found = pc.if_else(counts, column, pa.scalar(0, column.type))
        rows = rows.set_column(rows.column_names.index(name), name, found)
    return rows


def _told(rows: pa.Table, asked: Asked) -> pa.Table:
    """Return the rows without names of views and services that a token is not told of."""
    views, services = asked.within, asked.services
    if views is not None:
        names = rows["through"].unique().to_pylist()
        kept = [name for name in names if name.partition("@")[0] in views]
        rows = _without(rows, "through", kept)
    return rows if services is None else _without(rows, "service", services)


def _without(rows: pa.Table, column: str, kept: Sequence[str]) -> pa.Table:
    is_kept = pc.is_in(rows[column], value_set=pa.array(kept, pa.string()))
    found = pc.if_else(is_kept, rows[column], "")
    return rows.set_column(rows.column_names.index(column), column, found)


def fitting(asked: Asked) -> pc.Expression:
    found = (
        (pc.field("project") == asked.project)
        & (pc.field("day") >= pa.scalar(asked.since.date(), pa.date32()))
        & (pc.field("until") >= pa.scalar(asked.since, pa.timestamp("us", tz="UTC")))
    )
    for name, value in (
        ("feature_view", asked.view), ("version", asked.version), ("service", asked.service),
    ):  # fmt: skip
        if value:
            found &= pc.field(name) == value
    if asked.readers:
        found &= pc.field("reader").isin(list(asked.readers))
    if asked.versions is not None:
        found &= _of_versions(asked.versions)
    if asked.within is not None:
        found &= pc.field("feature_view").isin(pa.array(asked.within, pa.string()))
    if asked.views is not None:
        found &= pc.field("feature_view").isin(pa.array(asked.views, pa.string())) | (
            pc.field("reader") == asked.own
        )
    return found


def _of_versions(versions: Sequence[str]) -> pc.Expression:
    name = pc.binary_join_element_wise(pc.field("feature_view"), pc.field("version"), "@")
    return name.isin(pa.array(versions, pa.string()))


def _exploded(rows: pa.Table) -> Iterator[pa.Table]:
    """Yield a row for each feature in place of their text, some at a time, with its statuses."""
    most = pc.max(pc.add(pc.count_substring(rows[_TEXT], " "), 1)).as_py() or 1
    step = max(1, _AT_ONCE // most)
    for start in range(0, rows.num_rows, step):
        some = rows.slice(start, step)
        names = pc.split_pattern(some[_TEXT], " ").combine_chunks()
        kept = [name for name in rows.column_names if name not in (_TEXT, OF_FEATURES)]
        taken = some.select(kept).take(pc.list_parent_indices(names))
        if OF_FEATURES in rows.column_names:
            counts = pc.list_flatten(some[OF_FEATURES]).to_numpy()
            for place, name in enumerate(STATUS_COLUMNS):
                where = taken.column_names.index(f"{name}_sum")
                told = pa.array(counts[place :: len(STATUS_COLUMNS)])
                taken = taken.set_column(where, taken.field(where), told)
        yield taken.append_column("feature", pc.list_flatten(names))


def _summed_with_features(rows: pa.Table, keys: Sequence[str]) -> pa.Table:
    """Add up rows that are alike in ``keys``, features among them, and what each of those had."""
    numbered = rows.append_column(_PLACE, pa.array(np.arange(rows.num_rows)))
    found = numbered.group_by(list(keys)).aggregate([*_AGGREGATES, (_PLACE, "list")])
    alike = found[f"{_PLACE}_list"].combine_chunks()
    lists = rows[OF_FEATURES].take(pc.list_flatten(alike)).combine_chunks()
    lengths = pc.list_value_length(lists).to_numpy()
    # Rows that are alike have as many counts as the first of them.
    most = lengths[alike.offsets.to_numpy()[:-1]]
    ends = np.cumsum(most)
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    first = np.repeat((ends - most)[pc.list_parent_indices(alike).to_numpy()], lengths)
    sums = np.zeros(most.sum(), np.int64)
    np.add.at(sums, first + within, pc.list_flatten(lists).to_numpy())
    offsets = pa.array(np.concatenate([[0], ends]), pa.int64())
    told = pa.LargeListArray.from_arrays(offsets, pa.array(sums))
    return found.select([*keys, *_NAMES]).append_column(OF_FEATURES, told)


def _summed(rows: pa.Table, keys: Sequence[str]) -> pa.Table:
    return rows.group_by(list(keys)).aggregate(_AGGREGATES).select([*keys, *_NAMES])


def _added(sums: pa.Table, keys: Sequence[str]) -> pa.Table:
    again = [(name, how) for name, (_, how) in zip(_NAMES, _AGGREGATES, strict=True)]
    found = sums.group_by(list(keys)).aggregate(again)
    twice = [f"{name}_{how}" for name, how in again]
    return found.select([*keys, *twice]).rename_columns([*keys, *_NAMES])


def _distinct(rows: pa.Table, columns: Sequence[str]) -> Iterable[tuple[Any, ...]]:
    found = rows.group_by(list(columns)).aggregate([])
    return zip(*(found[name].to_pylist() for name in columns), strict=True)


def _used(row: dict[str, Any], by: Sequence[str], features: Iterable[str]) -> Used:
    named = {each: row[BY[each]] for each in by}
    within = [row[f"{name}_sum"] for name in WITHIN_COLUMNS]
    timed = sum(within)
    return Used(
        by=named,
        features=sorted(features),
        reads=row["reads_sum"],
        rows=row["rows_sum"],
        statuses={name.upper(): row[f"{name}_sum"] for name in STATUS_COLUMNS},
        mean_seconds=row["seconds_sum"] / timed if timed else None,
        slowest_seconds=row["slowest_max"] if timed else None,
        within=within,
        first_at=row["at_min"],
        last_at=row["until_max"],
    )
