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
    found = ((place, columns[place]) for place in sampling.places)
    return Taken(
        at,
        is_stored,
        tuple((place, column.values[row], column.statuses[row]) for place, column in found),
    )


def samples(taken: Taken, plan: ReadPlan) -> Iterator[tuple[str, Sample | None]]:
    """Yield what was taken, and the version each is of; None where there was no room."""
    if taken.values is None:
        places = plan.sampling.places if plan.sampling else ()
        yield from ((plan.columns[place].version, None) for place in places)
        return
    minute = taken.at.replace(second=0, microsecond=0)
    for place, value, status in taken.values:
        column = plan.columns[place]
        try:
            if taken.is_stored and value is not None and column.to_json is not None:
                value = column.to_json(value)  # noqa: PLW2901
            text = _encode(value)
        except (TypeError, ValueError, OverflowError):  # a sample is not worth the notes beside it
            yield column.version, None
            continue
        kept = text.decode() if len(text) <= MOST_BYTES else None
        yield column.version, Sample(minute, plan.references[place].feature, status, kept)
