"""Commands of one read of the online store, sent together on a connection of their own.

Not for what they answer (``online``), nor for the scripts they name (``hop_scripts``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import hiredis

from lib.errors import TooLarge
from materialization.stores.event_bounds import MOST_READ
from materialization.stores.events import is_seen_later
from materialization.stores.hop_scripts import READ_SHA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from materialization.stores.events import EventLayout


class TooManyEventsRead(TooLarge):
    code = "too_many_events_read"


def too_many_events(read: int, asked: int) -> TooManyEventsRead:
    return TooManyEventsRead(
        f"the events that the windows of {read} of {asked} entities are made of are more than"
        f" {MOST_READ >> 20} MB, which is all that one read is answered. Ask for fewer entities at"
        " once."
    )


def size_of(entities: Sequence[Sequence[bytes | None]]) -> int:
    """Return the bytes of what was answered of entities."""
    return sum(len(field) for each in entities for field in each if field is not None)


def packed(*words: Any) -> bytes:
    return cast("bytes", hiredis.pack_command(cast("Any", words)))


def read_events(
    layout: EventLayout, tags: Sequence[bytes | None], now: int, *, whole: bool = False
) -> bytes:
    keys = [layout.marker_key, *layout.keys(tags)]
    *edges, head = map(str, layout.edges(now))
    bounds = (str(layout.oldest_hop(now)), head, b"1" if whole else b"")
    return packed(b"EVALSHA", READ_SHA, str(len(keys)), *keys, *bounds, *edges)


def rest_of(
    get: Callable[[list[bytes]], tuple[list[list[Any]], str]],
    asked: Sequence[tuple[EventLayout, list[bytes | None]]],
    answers: list[list[Any]],
    now: int,
    *,
    is_whole: bool,
) -> Iterator[tuple[bytes | None, dict[bytes | None, list[Any]]]]:
    """Yield each table's marker and what its entities have, asking on where that was much.

    :raises TooManyEventsRead: all of it is more than one read is answered.
    """
    size = 0
    for (layout, tags), answer in zip(asked, answers, strict=True):
        found = dict(zip(tags, answer[1:], strict=False))
        size += size_of(answer[1:])
        while len(found) < len(tags):
            if size > MOST_READ:
                raise too_many_events(len(found), len(tags))
            rest = tags[len(found) :]
            ((marker, *more),), _ = get([read_events(layout, rest, now, whole=is_whole)])
            if not is_whole and any(is_seen_later(each, now) for each in more):
                ((marker, *more),), _ = get([read_events(layout, rest, now, whole=True)])
            answer[0] = marker and answer[0]
            size += size_of(more)
            found |= dict(zip(rest, more, strict=False))
        yield answer[0], found
