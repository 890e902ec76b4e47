"""Values that reads answered, of one read in so many: where the project asks for that. [pure]

A sample is one value of one feature, its status and its minute, without the keys that it was asked
by: what there is of an entity cannot be found by it, nor has to be erased. The record that holds it
is of one reader, by pseudonym, one service and one minute; it does not say which of its values were
of one row, but of a record of one read they all were (docs/decisions/0079). Features that are
sensitive, or computed of such, are not sampled. Not for who sees them (``sampled``).
"""

from __future__ import annotations

import random
from datetime import datetime  # noqa: TC003 - samples are read by their annotations
from sys import getsizeof
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from serving.online.plans import ReadPlan
    from serving.online.rows import AnswerColumn

#: Values of one read; which, where it has more, is fixed by its plan.
MOST_OF_READ = 50
#: Values of one record: of one reader, version and minute.
MOST_OF_RECORD = 200
#: Reads of one process and second.
MOST_OF_SECOND = 200
#: Bytes of one value as JSON; of a longer one there is the status alone.
MOST_BYTES = 256
#: Bytes of memory that a value takes before it is written: none of more is so short as JSON.
MOST_HELD_BYTES = 16 << 10
#: Bytes of memory that values of one process and second take.
MOST_HELD_OF_SECOND = 8 << 20
#: In place of a value that is not held.
TOO_LONG = object()

_encode = msgspec.json.Encoder().encode


class Sampling(NamedTuple):
    """One read in so many, and the places of the plan's columns whose values are kept."""

    one_in: int
    places: tuple[int, ...]


class Taken(NamedTuple):
    """Values of one row of one answer, by place; ``is_stored``: not ready for JSON.

    None: there was no room for them.
    """

    at: datetime
    is_stored: bool
    values: tuple[tuple[int, Any, str], ...] | None
    #: Bytes of memory.
    held: int = 0


class Room:
    """What a process holds of one second; any thread may ask."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._reads = self._bytes = 0

    def fit(self, taken: Taken) -> Taken:
        """Return what was taken, without its values where there is no room for them."""
        with self._lock:
            if self._reads < MOST_OF_SECOND and self._bytes + taken.held <= MOST_HELD_OF_SECOND:
                self._reads += 1
                self._bytes += taken.held
                return taken
        return taken._replace(values=None, held=0)

    def clear(self) -> None:
        """Begin another second."""
        with self._lock:
            self._reads = self._bytes = 0


class Sample(msgspec.Struct, array_like=True):
    """One value that was answered, as JSON; None: it is longer than ``MOST_BYTES``."""

    #: The minute: an instant would say which values were of one row.
    at: datetime
    feature: str
    status: str
    value: str | None


def take(
    sampling: Sampling, columns: Sequence[AnswerColumn], *, rows: int, is_stored: bool, at: datetime
) -> Taken | None:
    """Return the values of one row of this answer, if it is the one in so many."""
    if not rows or random.random() * sampling.one_in >= 1:  # noqa: S311 - not a secret
        return None
    row = random.randrange(rows)  # noqa: S311 - as above
    values, held = [], 0
    for place in sampling.places:
        column = columns[place]
        value: Any = column.values[row]
        if (size := _held(value)) > MOST_HELD_BYTES:
            value, size = TOO_LONG, 0
        values.append((place, value, column.statuses[row]))
        held += size
    return Taken(at, is_stored, tuple(values), held)


def _held(value: Any) -> int:
    """Return the bytes of memory that a value takes; of more than it may, more than that."""
    size, parts = 0, [value]
    while parts and size <= MOST_HELD_BYTES:
        part = parts.pop()
        size += getsizeof(part)
        if size <= MOST_HELD_BYTES and isinstance(part, (list, tuple, dict)):
            parts += part
            parts += part.values() if isinstance(part, dict) else ()
    return size


def samples(taken: Taken, plan: ReadPlan) -> Iterator[tuple[str, Sample | None]]:
    """Yield what was taken, and the version each is of; None where there was no room."""
    if taken.values is None:
        places = plan.sampling.places if plan.sampling else ()
        yield from ((plan.columns[place].version, None) for place in places)
        return
    minute = taken.at.replace(second=0, microsecond=0)
    for place, value, status in taken.values:
        column = plan.columns[place]
        if value is TOO_LONG:
            yield column.version, Sample(minute, plan.references[place].feature, status, None)
            continue
        try:
            if taken.is_stored and value is not None and column.to_json is not None:
                value = column.to_json(value)  # noqa: PLW2901
            text = _encode(value)
        except (TypeError, ValueError, OverflowError):  # a sample is not worth the notes beside it
            yield column.version, None
            continue
        kept = text.decode() if len(text) <= MOST_BYTES else None
        yield column.version, Sample(minute, plan.references[place].feature, status, kept)
