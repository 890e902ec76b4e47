"""What a reader of any kind of stream gives and is asked. [pure]

Not for what a record says (``serving.streams`` reads it against a source's schema) nor for how far
a table has come (``places``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from lib.errors import Invalid, Unavailable

#: Bytes of a record, as much as brokers take unless they are told otherwise.
MAX_RECORD_BYTES = 1 << 20

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class StreamUnavailable(Unavailable):
    """Nobody answers for a stream now, or not us; what was not read is read later."""

    code = "stream_unavailable"


class StreamGone(StreamUnavailable):
    """Whoever has the streams answers, and has none of that name (any more)."""


class StreamUnreadable(Invalid):
    """The stream is not there, or is not what it was; somebody has to do something."""

    code = "stream_unreadable"


class Record(NamedTuple):
    """One record as it lies in the stream; ``place`` orders those of one partition."""

    partition: int
    place: int
    value: bytes | None
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()
    #: Milliseconds since 1970; None: it has no time of its own.
    time_ms: int | None = None
    #: Bytes of one that has too many, and was not read; what it says is not here.
    unread: int = 0

    @property
    def size(self) -> int:
        """Bytes of its value, key and headers, or fields."""
        texts = [self.value, self.key, *(value for _, value in self.headers)]
        return self.unread or sum(len(each) for each in texts if each is not None)


class Fault(NamedTuple):
    """Why a partition gives nothing: until something else is said (``is_final``), or for now.

    Partition -1 is all of them.
    """

    partition: int
    words: str
    is_final: bool


class Bounds(NamedTuple):
    """The place of the oldest record there is, and the one behind the newest."""

    begin: int
    end: int


class Waiting(NamedTuple):
    """How many records there are from a place on; ``is_least``: and maybe more."""

    records: int
    is_least: bool = False


class StreamReader(Protocol):
    """Reads partitions of one stream. Every method may raise ``StreamUnavailable``."""

    def identity(self) -> str:
        """Return what tells the stream from another of its name; empty: nothing does.

        :raises StreamGone: there is no such stream.
        """

    def partitions(self) -> list[int]:
        """:raises StreamGone: there is no such stream."""

    def bounds(self, partition: int) -> Bounds: ...

    def newest(self, partition: int) -> int | None:
        """Return the place behind the newest record as it was last heard of; asks nobody."""

    def waiting(self, partition: int, place: int) -> Waiting | None:
        """Return how many records are there from a place on; None: nobody knows now.

        Raises nothing: whoever tells how far reading came tells that it fails as well.
        """

    def assign(self, places: Mapping[int, int]) -> None:
        """Read these partitions from now on, each from a place on, and no others.

        Nothing of what was read before and not given comes after it.
        """

    def fetch(self, partition: int, place: int) -> Record | None:
        """Return one record, wherever reading stands; None: it is not there (any more)."""

    def read(self, most: int) -> list[Record | Fault]:
        """Return what has come, in the order of each partition; does not wait."""

    def close(self) -> None: ...
