"""What is noted of reads: who, which features of which version, how many, how long. [pure]

Not for keeping it until it is sent (``buffer``), nor for storing it (``draining``).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from datetime import datetime  # noqa: TC003 - records are read by their annotations
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from serving.choices import Door  # noqa: TC001 - as above
from serving.usage.sampling import MOST_OF_RECORD, Sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from registry.models import FeatureViewVersion

#: Seconds within which reads are counted to have been answered; the last count is of all others.
BOUNDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
#: The statuses that are counted, in the order in which a record has them.
STATUSES = ("PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE")
#: Columns of a version that stand side by side in an answer: its name, the first, and what is next.
Columns = tuple[str, int, int]


class Read(NamedTuple):
    """What of one version is read at once; ``through``: to compute which other version's."""

    version: str
    features: tuple[str, ...]
    through: str = ""


class Reading(NamedTuple):
    """Who reads what, as one question asks it each time; ``reader`` is a pseudonym."""

    project: str
    reader: str
    service: str
    reads: tuple[Read, ...]


class First(IntEnum):
    """What a record is the first of, among those of one call: so that a call counts once.

    The first of a call is that of its view, too, and the first of a view that of its version.
    """

    OF_CALL = 0
    OF_VIEW = 1
    OF_VERSION = 2
    OF_NOTHING = 3


class UsageRecord(msgspec.Struct):
    """Reads of one version, alike and of about one minute: added up."""

    project: str
    reader: str
    service: str
    door: Door
    version: str
    through: str
    features: tuple[str, ...]
    first: First
    #: The first and the last of them.
    at: datetime
    until: datetime
    reads: int
    rows: int
    #: Values of one feature after the other by status, as ``STATUSES``; all 0 where they were not
    #: looked at.
    statuses: list[int]
    seconds: float
    slowest: float
    #: Reads by how long they took, as ``BOUNDS``; those that were not timed are none of them.
    within: list[int]
    #: Values that were answered, where they are sampled; and how many more had no room.
    samples: list[Sample] = msgspec.field(default_factory=list)
    unkept: int = 0

    @property
    def key(self) -> tuple[object, ...]:
        """What records have in common that are added up."""
        minute = self.at.replace(second=0, microsecond=0)
        return (
            self.project, self.reader, self.service, self.door, self.version, self.through,
            self.features, self.first, minute,
        )  # fmt: skip

    @property
    def calls(self) -> int:
        """How many calls it stands for: those that no other record of theirs does."""
        return self.reads if self.first == First.OF_CALL else 0

    def add(self, other: UsageRecord) -> None:
        self.at, self.until = min(self.at, other.at), max(self.until, other.until)
        self.reads += other.reads
        self.rows += other.rows
        self.statuses = _sums(self.statuses, other.statuses)
        self.seconds += other.seconds
        self.slowest = max(self.slowest, other.slowest)
        self.within = _sums(self.within, other.within)
        self.samples = self.samples + other.samples
        self.unkept += other.unkept
        self.limit_samples(MOST_OF_RECORD)

    def limit_samples(self, most: int) -> None:
        """Keep so many samples at most; the others had no room."""
        self.unkept += len(self.samples[most:])
        self.samples = self.samples[:most]


class Answers:
    """Answers to one reading through one door, added up."""

    def __init__(self) -> None:
        self.reads = self.rows = 0
        self.seconds = self.slowest = 0.0
        self.within = [0] * (len(BOUNDS) + 1)
        #: How often each of these columns had a status.
        self.found: Counter[tuple[Columns, str]] = Counter()
        #: By version; and how many had no room.
        self.samples: dict[str, list[Sample]] = {}
        self.unkept: Counter[str] = Counter()

    def add(
        self, *, rows: int, seconds: float | None, found: Iterable[tuple[Columns, str, int]] = ()
    ) -> None:
        """Add one; ``seconds`` is None where nobody took the time."""
        self.reads += 1
        self.rows += rows
        if seconds is not None:
            self.seconds += seconds
            self.slowest = max(self.slowest, seconds)
            self.within[bisect_left(BOUNDS, seconds)] += 1
        for columns, status, count in found:
            self.found[columns, status] += count

    def add_sample(self, version: str, sample: Sample | None) -> None:
        """Add a value that one of them answered; None: it had no room before."""
        kept = self.samples.setdefault(version, [])
        if sample is not None and len(kept) < MOST_OF_RECORD:
            kept.append(sample)
        else:
            self.unkept[version] += 1

    def records(
        self, reading: Reading, door: Door, *, at: datetime, names: Sequence[str] = ()
    ) -> list[UsageRecord]:
        """Return a record of each version; ``names`` are the features of the answers' columns."""
        found = self._found(names)
        return [
            UsageRecord(
                project=reading.project,
                reader=reading.reader,
                service=reading.service,
                door=door,
                version=read.version,
                through=read.through,
                features=read.features,
                first=first,
                at=at,
                until=at,
                reads=self.reads,
                rows=self.rows,
                statuses=[
                    0 if read.through else found[read.version, feature, status]
                    for feature in read.features
                    for status in STATUSES
                ],
                seconds=self.seconds,
                slowest=self.slowest,
                within=[*self.within],
                samples=[] if read.through else self.samples.get(read.version, []),
                unkept=0 if read.through else self.unkept[read.version],
            )
            for read, first in zip(reading.reads, _firsts(reading.reads), strict=True)
        ]

    def _found(self, names: Sequence[str]) -> Counter[tuple[str, str, str]]:
        """Return how many values there were, by version, feature and status."""
        found: Counter[tuple[str, str, str]] = Counter()
        for ((version, start, end), status), count in self.found.items():
            for name in names[start:end]:
                found[version, name, status] += count
        return found


def reads_of(asked: Iterable[tuple[FeatureViewVersion | str, str, str]]) -> tuple[Read, ...]:
    """Return what is read, a version each, of (version, feature, ``through``)."""
    found: dict[tuple[str, str], set[str]] = {}
    for version, feature, through in asked:
        found.setdefault((str(version), through), set()).add(feature)
    return tuple(
        Read(version, tuple(sorted(features)), through)
        for (version, through), features in found.items()
    )


def _firsts(reads: Iterable[Read]) -> Iterator[First]:
    views: set[str] = set()
    versions: set[str] = set()
    for read in reads:
        view = read.version.partition("@")[0]
        if not views:
            yield First.OF_CALL
        elif view not in views:
            yield First.OF_VIEW
        else:
            yield First.OF_NOTHING if read.version in versions else First.OF_VERSION
        views.add(view)
        versions.add(read.version)


def merged(records: Iterable[UsageRecord]) -> list[UsageRecord]:
    """Add up what is alike; the records are used up by it."""
    found: dict[tuple[object, ...], UsageRecord] = {}
    for record in records:
        if (known := found.get(record.key)) is None:
            found[record.key] = record
        else:
            known.add(record)
    return list(found.values())


def _sums(one: list[int], other: list[int]) -> list[int]:
    return [a + b for a, b in zip(one, other, strict=True)]
