"""How far a table has come of a stream: kept in Redis with its rows, and with the table's commit.

The greater of both counts. Where Redis came back older than it was, or empty, that is the commit's:
rows that were only in Redis are read again, and none that is stored (``runner.draining``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materialization.edges.stores import offline_store, push_log
from materialization.models import StreamPart
from materialization.queries import table_at
from materialization.stores.stretches import stream_mark

if TYPE_CHECKING:
    from materialization.streams.reader import Bounds


#: What stands for the place behind the newest record until a consumer has asked for it.
NEWEST = -1


def name_of(part: StreamPart) -> str:
    """Return what stores call a part: others after somebody said where to read on."""
    again = f"#{part.generation}" if part.generation else ""
    return f"{part.stream}:{part.partition}{again}"


def standing(part: StreamPart, bounds: Bounds) -> int:
    """Return the place from which on records are not taken; where nobody began, the oldest one."""
    name, log = name_of(part), push_log()
    while True:
        stored = offline_store().committed(table_at(part.table), [stream_mark(name)])
        stands = log.stands(part.table.uid, name)
        came = stored.get(stream_mark(name), _start(part, bounds))
        if stands is not None and stands >= came:
            return stands
        if log.move(part.table.uid, name, begin=stands, end=came):
            return came


def _start(part: StreamPart, bounds: Bounds) -> int:
    """Return where the part begins: it stays, whatever the stream forgets later."""
    if part.start is None:
        StreamPart.objects.filter(pk=part.pk, start=None).update(start=bounds.begin)
        part.refresh_from_db(fields=["start"])
    elif part.start == NEWEST:
        StreamPart.objects.filter(pk=part.pk, start=NEWEST).update(start=bounds.end)
        part.refresh_from_db(fields=["start"])
    return part.start or 0
