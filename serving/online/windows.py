"""Exact windows at an online read: rows as stored ones are, made of the events of each entity.

Not for fetching events (``stores``), nor for single windows (``transforms.windows``).
"""

from __future__ import annotations

from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from lib.errors import Unavailable
from materialization.compute.fitted import spec_with_fitted
from materialization.edges.stores import online_store
from materialization.ingest.events import event_layout
from materialization.stores.events import KnownHop
from materialization.stores.online_protocol import RowsUnreadable
from materialization.transforms.windows.arguments import window_arguments
from materialization.transforms.windows.encoding import window_encodings
from materialization.transforms.windows.entity_rows import entity_windows, is_over, left_at
from registry.fittings import fitted_of
from serving.online.plans import ReadWindows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from materialization.stores.events import EntityEvents
    from materialization.transforms.windows.encoding import WindowEncoding
    from materialization.transforms.windows.evaluation import EntityWindows
    from registry.spec.version_spec import VersionSpec
    from serving.online.plans import TableRead

#: Of hops with so many rows a read looks at so many whether what is known of them is much less.
MANY_ROWS, MOST_LOOKED_AT = 32, 20
#: How much less: a share of the bytes of their events.
KNOWN_SHARE = 0.5
#: Tables whose encodings are remembered: what each was fitted to takes 8 MB at most, written.
MOST_ENCODED = 16
_ENCODINGS: dict[str, tuple[WindowEncoding, ...]] = {}


def read_windows(spec: VersionSpec, *, uid: str) -> ReadWindows | None:
    """Return how a version's windows are read; None: its values are stored."""
    if not spec.has_windows_online:
        return None
    return ReadWindows(event_layout(spec, uid=uid), window_arguments(spec), _encodings(spec, uid))


def _encodings(spec: VersionSpec, uid: str) -> tuple[WindowEncoding, ...]:
    """Return those of a table: all plans have one, however much it was fitted to."""
    if not spec.has_encodings:
        return ()
    if (known := _ENCODINGS.get(uid)) is not None:
        return known
    made = window_encodings(spec_with_fitted(spec, fitted_of))
    if len(_ENCODINGS) >= MOST_ENCODED:
        _ENCODINGS.clear()  # under other threads, which have theirs in hand
    return _ENCODINGS.setdefault(uid, made)


def window_rows(
    table: TableRead,
    windows: ReadWindows,
    entities: Sequence[EntityEvents | None],
    now: int,
) -> list[list[Any]]:
    """Return one row an entity, as of ``now`` (µs): as long as it is there, its event is now.

    What was pushed by a clock that is ahead is there already: then that entity is as of it. Of one
    whose events are all out of the longest window for longer than the TTL the event is when the
    last of them left. What is found of full hops is kept for the next who asks.
    :raises RowsUnreadable: what was kept so cannot be read.
    """
    rows: list[list[Any]] = []
    worth: list[KnownHop] = []
    looks = MOST_LOOKED_AT
    done: dict[bytes, list[Any]] = {}
    for entity in entities:
        if entity is None:
            rows.append([None] * table.layout.width)
            continue
        if entity.tag in done:
            rows.append(done[entity.tag])
            continue
        at = max(now, entity.seen)
        try:
            made = entity_windows(windows.made_of, entity, at)
        except msgspec.DecodeError as exc:
            raise RowsUnreadable(table.version) from exc
        done[entity.tag] = _row(table, windows, entity, made, at)
        rows.append(done[entity.tag])
        if looks and at == now:
            inside = list(islice(_full_hops(windows, entity, now), looks))
            looks -= len(inside)
            worth += _worth_keeping(entity, made, inside)
    if worth:
        with suppress(Unavailable):  # it is there for speed alone
            online_store().keep_known(windows.layout, worth)
    return rows


def _row(
    table: TableRead, windows: ReadWindows, entity: EntityEvents, made: EntityWindows, now: int
) -> list[Any]:
    over = is_over(entity, windows.layout, now, table.ttl_micros)
    return [
        left_at(entity, windows.layout) if over else now,
        0,
        0,
        *made.features(hop=windows.layout.hop, where=table.version, encodings=windows.encodings),
    ]


def _full_hops(windows: ReadWindows, entity: EntityEvents, now: int) -> Iterator[int]:
    """Yield the hops with many rows that lie inside."""
    layout = windows.layout
    edges, oldest, head = set(layout.edges(now)), layout.oldest_hop(now), now // layout.hop
    for hop, kept in entity.hops.items():
        if len(kept.rows) >= MANY_ROWS and oldest < hop < head and hop not in edges:
            yield hop


def _worth_keeping(
    entity: EntityEvents, made: EntityWindows, hops: Iterable[int]
) -> Iterator[KnownHop]:
    for hop in hops:
        kept, known = entity.hops[hop], made.summary(hop)
        if len(known) <= KNOWN_SHARE * kept.size:
            yield KnownHop(entity.tag, hop, kept.header, known)
