"""Putting windows right: the events of entities that differ are exchanged for the stored ones.

Not for finding those (``windows``), nor for rows that are stored as they are read (``online``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materialization.ingest.events import event_layout
from materialization.quality.consistency.online import TRIES, marker_of
from materialization.quality.consistency.subject import entities_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from datetime import datetime

    from materialization.quality.consistency.subject import Stores, Subject

#: Entities whose events are brought together at once: Redis has them twice meanwhile.
AT_ONCE = 500


def put_right(
    tags: Sequence[bytes],
    *,
    subject: Subject,
    stores: Stores,
    waiting: Callable[[], Collection[bytes]],
    clock: Callable[[], datetime],
) -> Iterator[int]:
    """Exchange the events of these entities, some at a time; yield how many of those were.

    ``waiting`` stores what arrived, and says of which entities something waits even so. Those, and
    such as get events meanwhile, are tried again, and left as they are in the end.

    :raises NotLoaded: the table ceased to be loaded.
    """
    for start in range(0, len(tags), AT_ONCE):
        left = some = tags[start : start + AT_ONCE]
        for _ in range(TRIES):
            done = _exchanged(left, subject, stores, waiting, clock)
            left = [tag for tag in left if tag not in done]
            if not left:
                break
        yield len(some) - len(left)


def _exchanged(
    tags: Sequence[bytes],
    subject: Subject,
    stores: Stores,
    waiting: Callable[[], Collection[bytes]],
    clock: Callable[[], datetime],
) -> set[bytes]:
    """Exchange what can be, in this order: look at what is there, store what arrived, read that.

    What is there at the look is stored by the reading, or waits; what comes after it is seen by the
    step that exchanges.
    """
    spec, layout = subject.spec, event_layout(subject.spec, uid=subject.layout.uid)
    told = zip(tags, stores.online.told_at(layout.keys(tags)), strict=True)
    late = waiting()
    seen = {tag: each for tag, each in told if tag not in late}
    marker = marker_of(subject, stores)
    files = stores.offline.snapshot(subject.place).read_by(spec)
    keys = [
        subject.layout.key_prefix + tag for tag in seen if layout.entity.values(tag) is not None
    ]
    among = entities_of(subject, keys)
    with stores.engine.kept_events(files, spec, as_of=clock(), among=among) as reader:
        done = stores.online.exchange(layout, reader, seen, ttl=marker.ttl, at=clock())
    return set(done)
