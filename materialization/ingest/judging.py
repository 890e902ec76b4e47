"""What each pushed row has to be: its keys, its times, and what its features' checks ask. [pure]

Every row is judged alone: what compares rows is for runs.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lib.instants import to_us
from materialization.ingest.events import event_rows
from materialization.stores.columns import CREATED, EVENT, EVENT_ID, INSTANT, computed_schema
from materialization.transforms.windows.arguments import window_arguments
from registry.spec.bounds import bound_in

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

    from materialization.ingest.refusals import Refusals
    from registry.spec.checks import Expectations
    from registry.spec.sources.arriving import ArrivingSource
    from registry.spec.value_types import ValueType
    from registry.spec.version_spec import VersionSpec

#: How far ahead a row's times may lie: it waits that long. Further ones are mistaken for another
#: unit as a rule, and would hide all that is true meanwhile from whoever reads the files.
AHEAD = timedelta(days=366)
#: Bytes of a key's text: it is part of the name under which Redis has each row of its entity.
MOST_KEY_BYTES = 4_096
_FUTURE = (
    "it lies more than a year ahead, beyond {0:%Y-%m-%dT%H:%M:%S.%fZ}; push a row nearer to it."
)
#: What is kept for windows is counted as it comes, and nothing waits there yet.
_NOT_YET = "it lies in the future, beyond {0:%Y-%m-%dT%H:%M:%S.%fZ}; push a row once it is true."


def stored_rows(
    sent: pa.RecordBatch, spec: VersionSpec, source: ArrivingSource, *, at: datetime
) -> pa.RecordBatch:
    """Return the columns that are stored of rows with the source's columns, which are all of them.

    What says not when it was known was known when it came, ``at``.
    """
    event = sent.column(source.event_timestamp.column)
    if source.created_timestamp is not None:
        created = sent.column(source.created_timestamp.column)
    else:
        created = pa.array(np.full(sent.num_rows, to_us(at))).cast(INSTANT)
    if spec.stores_events_only:
        return event_rows(sent, spec, event, created)
    columns = {key.name: sent.column(key.name) for key in spec.join_keys}
    columns |= {EVENT: event, CREATED: created}
    columns |= {each.name: sent.column(each.source_column) for each in spec.features}
    schema = computed_schema(spec)
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def made_rows(
    made: pa.Table, spec: VersionSpec, source: ArrivingSource, *, at: datetime
) -> pa.RecordBatch:
    """Return rows that a version's transform made, as they are stored; as of ``stored_rows``."""
    if source.created_timestamp is None:
        known = pa.array(np.full(made.num_rows, to_us(at))).cast(INSTANT)
        made = made.set_column(made.schema.get_field_index(CREATED), CREATED, known)
    schema = window_arguments(spec).logged if spec.stores_events_only else computed_schema(spec)
    batches = made.select(schema.names).cast(schema).combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=schema)


def note_wrong(
    rows: pa.RecordBatch,
    spec: VersionSpec,
    source: ArrivingSource,
    refusals: Refusals,
    *,
    places: np.ndarray[Any, np.dtype[np.int64]],
    unread: Collection[int],
    at: datetime,
) -> None:
    """Note what is wrong with rows as they are stored; columns are called as the source does.

    ``places`` are those of the rows in what was sent. Those that are ``unread`` say nothing, and it
    is said already why.
    """

    def note(name: str, said: str, failing: pa.Array, valid: str) -> None:
        if not pc.any(failing).as_py():
            return
        column = rows.column(name)
        for place in np.flatnonzero(failing.fill_null(False).to_numpy(zero_copy_only=False)):  # noqa: FBT003
            row = int(places[place])
            if row not in unread:
                refusals.add(row, said, partial(_shown, column, int(place)), valid)

    for key in spec.join_keys:
        for failing, valid in _of_key(rows.column(key.name), f"a row needs its {key.name}."):
            note(key.name, key.name, failing, valid)
    if spec.event_id is not None:
        needed = "it tells events apart: every row has one."
        for failing, valid in _of_key(rows.column(EVENT_ID), needed):
            note(EVENT_ID, spec.event_id, failing, valid)
    names = {EVENT: source.event_timestamp, CREATED: source.created_timestamp}
    for name, time in names.items():
        if time is None:
            continue
        column = rows.column(name)
        note(name, time.column, column.is_null(), "every row has one.")
        ahead = timedelta(0) if spec.stores_events_only else AHEAD
        later = pc.greater(column, pa.scalar(at + ahead, INSTANT))
        note(name, time.column, later, (_FUTURE if ahead else _NOT_YET).format(at + ahead))
    for feature in () if spec.stores_events_only else spec.features:
        for failing, valid in _failing(
            rows.column(feature.name), feature.value_type, feature.checks
        ):
            note(feature.name, feature.source_column, failing, valid)


def _of_key(column: pa.Array, needed: str) -> Iterator[tuple[pa.Array, str]]:
    """Yield which values of a key are none, as ``_failing`` does."""
    yield column.is_null(), needed
    if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
        too_long = pc.greater(pc.binary_length(column), MOST_KEY_BYTES)
        yield too_long, f"a key has at most {MOST_KEY_BYTES:,} bytes."


def _shown(column: pa.Array, row: int) -> str:
    return str(column[row].as_py())[:100]


def _failing(
    column: pa.Array, kind: ValueType, asked: Expectations
) -> Iterator[tuple[pa.Array, str]]:
    """Yield, of each check, which values fail it (null: not), and what is asked."""
    if asked.not_null is not None:
        yield column.is_null(), "the check not_null asks for a value."
    for name, bound, compare in (("min", asked.min, pc.less), ("max", asked.max, pc.greater)):
        if bound is not None:
            limit = pa.scalar(bound_in(kind, bound), kind.arrow)
            yield compare(column, limit), f"the check asks for {name} {bound}."
    if asked.allowed is not None:
        same = [each for each in asked.allowed if _is_of(each, kind)]
        listed = pc.is_in(column, value_set=pa.array(same, kind.arrow))
        failing = pc.and_(column.is_valid(), pc.invert(listed))
        yield failing, f"the check asks for one of {', '.join(map(repr, asked.allowed))}."
    if asked.regex is not None:
        matches = pc.match_substring_regex(column, rf"\A(?:{asked.regex})\z")
        yield pc.invert(matches), f"the check asks that it matches {asked.regex}"
    if asked.length is not None:
        lengths = _lengths(column, kind)
        low, high = asked.length.min, asked.length.max
        for limit, compare in ((low, pc.less), (high, pc.greater)):
            if limit is not None:
                yield compare(lengths, limit), f"the check asks for a length of {asked.length}."


def _lengths(column: pa.Array, kind: ValueType) -> pa.Array:
    if kind.kind == "bytes":
        return pc.binary_length(column)
    return pc.utf8_length(column) if kind.kind == "string" else pc.list_value_length(column)


def _is_of(item: str | int | bool, kind: ValueType) -> bool:
    """In a definition true is not 1."""
    if isinstance(item, bool) or kind.kind == "bool":
        return isinstance(item, bool) and kind.kind == "bool"
    return isinstance(item, str) == (not kind.is_numeric)
