"""What is known of one part while it is read, and the words for what stands in its way.

Not for reading it (``feed``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from django.db import DatabaseError, InterfaceError

from lib.errors import AssayError, Unavailable
from materialization.choices import PartState

if TYPE_CHECKING:
    from materialization.models import StreamPart
    from materialization.stores.push_command import MostWaiting

NOT_YET = "its next record is of an instant that is still to come."
MANY_SCHEMAS = "its records name more schemas than are asked for at once; it goes on."
SERVER = "the server's disk or memory does not do what is asked of it; see the consumer's log."
#: What is told of what no code here knows.
UNFORESEEN = "it failed, and nobody foresaw why; the consumer's log has more."
#: How far a record's clock may be ahead where nothing of the future is kept: it is waited for.
AHEAD = timedelta(minutes=5)
#: What passes by itself: whoever meets it tries again.
AWAY = (Unavailable, DatabaseError, InterfaceError)


class NotYet(Unavailable):
    """A record's time is still to come, and its table keeps nothing of the future."""

    code = "stream_not_yet"


class StreamLimits(NamedTuple):
    """What waits for the offline store at most, and how many dead letters a part keeps."""

    waiting: MostWaiting
    letters: int


@dataclass
class Reading:
    """One part as it is read now; ``place`` is that of the next record."""

    row: StreamPart
    stream: str
    place: int = 0
    state: PartState = PartState.WAITING
    words: str = ""
    #: What was told of it last: its state, and whether there were words.
    told: tuple[PartState, bool] = (PartState.WAITING, False)
    #: By the process's clock: not tried again before.
    rests_until: float = 0.0
    #: Whether the reader gives its records from ``place`` on.
    is_given: bool = False
    #: Whether ``place`` is where the table stands; not before somebody asked.
    is_known: bool = False
    end: int = 0


def words_of(exc: BaseException) -> str:
    """Return what is told of what passes by itself; of the database's own words nothing."""
    return exc.message if isinstance(exc, AssayError) else "the database does not answer."
