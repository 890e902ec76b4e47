"""Stored rows as columns of an answer: values, statuses, event times. [pure]

Not for fetching rows (``read``) or for writing JSON (``answer``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from serving.values import EPOCH_TEXT, micros_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving.online.plans import FeatureColumn

PRESENT, NULL_VALUE, NOT_FOUND, OUTSIDE_MAX_AGE = (
    "PRESENT",
    "NULL_VALUE",
    "NOT_FOUND",
    "OUTSIDE_MAX_AGE",
)
#: Below this many rows each is written by itself sooner than all at once.
FEW = 8


class AnswerColumn(msgspec.Struct, frozen=True, gc=False):
    """One column, one item a row: ready for JSON, as one of the answer's ``results``, or as stored.

    As stored, event times are microseconds, None where there is no row and of join keys.
    """

    values: Sequence[Any]
    statuses: list[str]
    event_timestamps: Sequence[Any]


class TableRows:
    """The rows one table gave, in the request's order; as ``StoredRows`` has them."""

    def __init__(self, rows: list[list[Any]], *, width: int, oldest_micros: int | None) -> None:
        """``oldest_micros``: rows with an earlier event are too old; None: nothing expires."""
        self._columns: list[Sequence[Any]] = list(zip(*rows, strict=True)) or [()] * width
        events = self._columns[0]
        self._stamps: list[str] | None = None
        self._present = [PRESENT] * len(events)
        self._statuses = self._present
        is_whole = None not in events
        if not is_whole or (oldest_micros is not None and events and min(events) < oldest_micros):
            oldest = -(2**63) if oldest_micros is None else oldest_micros
            self._statuses = [_row_status(event, oldest) for event in events]

    @property
    def events(self) -> Sequence[int | None]:
        """Return the event time of each row in microseconds; None where there is none."""
        return self._columns[0]

    def valid(self, position: int) -> Sequence[Any]:
        """Return the values of one position as others are computed from them.

        Null where there is no row, or one that is too old; 0 is the event's time.
        """
        values = self._columns[position]
        if self._statuses is self._present:
            return values
        pairs = zip(values, self._statuses, strict=True)
        return [value if status is PRESENT else None for value, status in pairs]

    def columns(self, features: Sequence[FeatureColumn], *, stored: bool) -> list[AnswerColumn]:
        """Return features' columns ready for JSON, or as they are stored.

        What is too old or not there is None. Columns without a null share one list of statuses,
        and all share one of times.
        """
        times: Sequence[Any] = self.events
        if not stored:
            if self._stamps is None:
                self._stamps = instants(times)
            times = self._stamps
        found = []
        for feature in features:
            values, statuses = self._columns[feature.position], self._statuses
            if statuses is not self._present or None in values:
                values, statuses = self._with_gaps(values)
            if not stored and (to_json := feature.to_json) is not None:
                values = [None if value is None else to_json(value) for value in values]
            found.append(AnswerColumn(values, statuses, times))
        return found

    def _with_gaps(self, values: Sequence[Any]) -> tuple[list[Any], list[str]]:
        pairs = list(zip(values, self._statuses, strict=True))
        found = [value if status is PRESENT else None for value, status in pairs]
        return found, [NULL_VALUE if s is PRESENT and v is None else s for v, s in pairs]


def key_column(values: Sequence[Any], *, stored: bool = False) -> AnswerColumn:
    """Return a join key as Feast answers it: PRESENT since 1970; a null key is a null value."""
    statuses = (
        [PRESENT] * len(values)
        if None not in values
        else [NULL_VALUE if v is None else PRESENT for v in values]
    )
    stamps = [None] * len(values) if stored else [EPOCH_TEXT] * len(values)
    return AnswerColumn(values, statuses, stamps)


def instants(micros: Sequence[int | None]) -> list[str]:
    """Return ``2026-01-31T12:00:00.000000Z`` for each; None is the first instant of 1970."""
    if len(micros) < FEW:
        return [EPOCH_TEXT if micro is None else micros_text(micro) for micro in micros]
    if None not in micros:
        # numpy writes bytes in half the time of text, and one text is soon taken apart.
        written = np.array(micros, "datetime64[us]").astype("S26").tolist()
        return (b"Z ".join(written) + b"Z").decode().split(" ")
    texts = instants([micro or 0 for micro in micros])
    return [
        EPOCH_TEXT if micro is None else text for micro, text in zip(micros, texts, strict=True)
    ]


def _row_status(event: int | None, oldest: int) -> str:
    if event is None:
        return NOT_FOUND
    return PRESENT if event >= oldest else OUTSIDE_MAX_AGE
