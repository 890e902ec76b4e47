"""Two packed rows: whether they are the same, and where not. [pure]

Packing chooses widths by the batch a row is in, so that the same row has several forms: what counts
is what they decode to. NULL, NaN, 0.0 and -0.0 are four things.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from lib.instants import from_us, timestamp
from materialization.stores.layout import HEADER_COLUMNS

if TYPE_CHECKING:
    from materialization.stores.layout import TableLayout

#: What a whole number of the stores has at most, and at least its negative less one.
_INT64 = 2**63 - 1
_decode = msgspec.msgpack.Decoder(list[Any]).decode


class Stamps(NamedTuple):
    """What orders rows: both times in microseconds, and the sequence."""

    event: int
    created: int
    sequence: int

    def shown(self) -> dict[str, Any]:
        return {
            "event_timestamp": _instant(self.event),
            "created_timestamp": _instant(self.created),
            "sequence": self.sequence,
        }


def _instant(microseconds: int) -> str | int | None:
    try:
        return timestamp(from_us(microseconds))
    except OverflowError:
        return microseconds


def stamps_of(row: bytes) -> Stamps | None:
    """Return what orders a row; None: these bytes are no row."""
    header = (_values(row) or [])[: len(HEADER_COLUMNS)]
    if len(header) < len(HEADER_COLUMNS) or not all(type(each) is int for each in header):
        return None
    event, lag, sequence = header
    stamps = Stamps(event, event + lag, sequence)
    return stamps if all(-_INT64 - 1 <= each <= _INT64 for each in stamps) else None


def shown_stamps(row: bytes | None) -> dict[str, object] | None:
    stamps = stamps_of(row) if row is not None else None
    return stamps.shown() if stamps is not None else None


def is_newer(seen: bytes, row: bytes) -> bool:
    found, stored = stamps_of(seen), stamps_of(row)
    return found is not None and stored is not None and found > stored


def is_same(row: bytes, other: bytes) -> bool:
    if row == other:
        return True
    one, two = _values(row), _values(other)
    return one is not None and two is not None and _plain(one) == _plain(two)


def differing(layout: TableLayout, row: bytes, other: bytes) -> tuple[str, ...]:
    """Return the features in which two rows differ; all where one of them is no row."""
    one, two = _values(row), _values(other)
    if one is None or two is None or not len(one) == len(two) == layout.width:
        return layout.features
    first = len(HEADER_COLUMNS)
    pairs = zip(layout.features, one[first:], two[first:], strict=True)
    return tuple(name for name, mine, its in pairs if _plain(mine) != _plain(its))


def _values(row: bytes) -> list[Any] | None:
    try:
        return _decode(row)
    except msgspec.DecodeError:
        return None


def _plain(value: Any) -> bytes:
    """Return the one form in which a value is written by itself: what Python calls equal is not."""
    return msgspec.msgpack.encode(value)
