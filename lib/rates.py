"""How often something happened, counted by who and period: in Redis, for all processes together.

Not for what a limit is on, or what becomes of whoever is over it: callers know. Periods are fixed
and begin at multiples of their length. While Redis is away each process counts for itself, so that
a limit holds in each; see docs/decisions/0016.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections import Counter
from datetime import datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple, cast

import msgspec

from lib.connections import RedisUnavailable, get_redis, translated
from lib.decoding import json_reader
from lib.instants import EPOCH

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

logger = logging.getLogger(__name__)

#: What is over a limit, by rate, who and period, until somebody takes it up: a hash.
EXCESS_KEY = b"a:rates:excess"
#: Seconds by which clocks may differ: so long a period is still counted after its end.
SLACK_SECONDS = 10
#: Keys that a process counts by itself at most; the oldest leave.
LOCAL_KEYS = 10_000


class Rate(NamedTuple):
    """At most ``most`` in each period of ``seconds``."""

    name: str
    most: int
    seconds: int


#: Of whom something is counted.
Counting = tuple[Rate, tuple[str, ...]]


class Counted(NamedTuple):
    """The how-manieth of its period something was, of how many."""

    number: int
    most: int
    began_at: datetime
    ends_at: datetime

    @property
    def is_over(self) -> bool:
        return self.number > self.most

    @property
    def is_last(self) -> bool:
        return self.number == self.most

    def wait_seconds(self, at: datetime) -> int:
        """Return the whole seconds after which the next period has begun."""
        return max(math.ceil((self.ends_at - at).total_seconds()), 1)


class Excess(msgspec.Struct, frozen=True, array_like=True):
    """Of whom more than the limit was counted in a period that ended at a second of Unix time."""

    rate: str
    who: tuple[str, ...]
    end_second: int
    seconds: int

    @property
    def began_at(self) -> datetime:
        return self.ended_at - timedelta(seconds=self.seconds)

    @property
    def ended_at(self) -> datetime:
        return EPOCH + timedelta(seconds=self.end_second)


_read_excess = json_reader(Excess)


def count(rate: Rate, who: tuple[str, ...], *, at: datetime) -> Counted:
    """Count one more; what is over the limit is kept as an ``Excess`` too."""
    excess = Excess(rate.name, who, _end_of_period(rate, at), rate.seconds)
    key = _key(excess)
    try:
        number = _count_in_redis(key, rate)
    except RedisUnavailable:
        number = _LOCAL.count(key)
    counted = Counted(number, rate.most, excess.began_at, excess.ended_at)
    if counted.is_over:
        _LOCAL.keep(excess)
    if number == rate.most + 1:
        said = "%s of %s: %d by %s; more are only counted"
        logger.warning(said, rate.name, " ".join(who), number, excess.ended_at)
    _hand_over()
    return counted


def tally(numbers: Mapping[Counting, int], *, at: datetime) -> None:
    """Keep so many more of each as what is over a limit of none, for whoever takes that up.

    All of it is kept before any is handed over: whatever that meets, nothing is lost.
    """
    for (rate, who), number in numbers.items():
        _LOCAL.keep(Excess(rate.name, who, _end_of_period(rate, at), rate.seconds), number)
    _hand_over()


def take_back(rate: Rate, who: tuple[str, ...], *, at: datetime) -> None:
    """Undo one ``count``, of what turned out not to be one."""
    key = _key(Excess(rate.name, who, _end_of_period(rate, at), rate.seconds))
    _LOCAL.take_back(key)
    try:
        with translated():
            pipe = get_redis().pipeline(transaction=False)
            pipe.decr(key)
            pipe.expire(key, rate.seconds + SLACK_SECONDS)
            pipe.execute()
    except RedisUnavailable:
        return


def ended(*, at: datetime) -> Iterator[tuple[Excess, int]]:
    """Yield what was over a limit in periods that are over, and by how much.

    :raises RedisUnavailable: it does not answer; nothing is lost by that.
    """
    with translated():
        kept = cast("dict[bytes, bytes]", get_redis().hgetall(EXCESS_KEY))
    for member, number in kept.items():
        excess = _read_excess(member)
        if excess.ended_at + timedelta(seconds=SLACK_SECONDS) <= at:
            yield excess, int(number)


def forget(excess: Excess) -> None:
    """Let go of what has been taken up."""
    with translated():
        get_redis().hdel(EXCESS_KEY, msgspec.json.encode(excess))


def _end_of_period(rate: Rate, at: datetime) -> int:
    return (int(at.timestamp()) // rate.seconds + 1) * rate.seconds


def _key(excess: Excess) -> bytes:
    return b"a:rate:" + hashlib.sha256(msgspec.json.encode(excess)).hexdigest()[:32].encode()


def _count_in_redis(key: bytes, rate: Rate) -> int:
    with translated():
        pipe = get_redis().pipeline(transaction=False)
        pipe.incr(key)
        pipe.expire(key, rate.seconds + SLACK_SECONDS)
        return int(pipe.execute()[0])


def _hand_over() -> None:
    """Give Redis what this process has kept of what is over limits, unless Redis is away."""
    if not (own := _LOCAL.take_excess()):
        return
    try:
        with translated():
            pipe = get_redis().pipeline(transaction=False)
            for each, number in own.items():
                pipe.hincrby(EXCESS_KEY, msgspec.json.encode(each), number)
            pipe.execute()
    except RedisUnavailable:
        _LOCAL.put_back(own)
    except BaseException:
        _LOCAL.put_back(own)
        raise


class _Local:
    """What this process counts while Redis is away, and what it has yet to tell Redis."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._excess: Counter[Excess] = Counter()
        self._lock = Lock()

    def count(self, key: bytes) -> int:
        with self._lock:
            number = self._numbers[key] = self._numbers.pop(key, 0) + 1
            while len(self._numbers) > LOCAL_KEYS:
                del self._numbers[next(iter(self._numbers))]
        return number

    def take_back(self, key: bytes) -> None:
        with self._lock:
            if key in self._numbers:
                self._numbers[key] -= 1

    def keep(self, excess: Excess, number: int = 1) -> None:
        with self._lock:
            self._excess[excess] += number

    def take_excess(self) -> Counter[Excess]:
        if not self._excess:
            return self._excess
        with self._lock:
            taken, self._excess = self._excess, Counter()
        return taken

    def put_back(self, taken: Counter[Excess]) -> None:
        with self._lock:
            self._excess.update(taken)


_LOCAL = _Local()
