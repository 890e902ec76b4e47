"""Storing what was noted of reads: each entry of the stream once.

The commit says how far it came, and only what it says is forgotten: whoever dies after it, or was
overtaken by another, leaves nothing out and stores nothing twice.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from serving.usage.last_reads import note_last_reads
from serving.usage.noting import UsageRecord, merged
from serving.usage.rows import rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from materialization.stores.usage_stream import UsageEntry, UsageStream
    from materialization.stores.usage_table import UsageTable

log = logging.getLogger(__name__)
#: Entries that one commit takes: a thousand records each at most.
_AT_ONCE = 200

_decode = msgspec.msgpack.Decoder(list[UsageRecord]).decode


def drain(stream: UsageStream, table: UsageTable) -> int:
    """Store what was sent before this was called; return how many entries.

    None where somebody else is at it. Entries that come meanwhile are the next call's.
    """
    with stream.draining() as is_ours:
        return _drain(stream, table) if is_ours else 0


def _drain(stream: UsageStream, table: UsageTable) -> int:
    # A Redis that lost the stream numbers anew: what it has then is another stream.
    transaction, until, total = f"usage-{stream.name()}", stream.last(), 0
    while True:
        done = table.last(transaction)
        if done is not None:
            stream.trim(until=done)
        entries = stream.entries(after=done or 0, until=until, count=_AT_ONCE)
        if not entries:
            return total
        stream.still_draining()
        records = merged(_read(entries, stream))
        note_last_reads(records)  # may be repeated; the commit may not
        if table.append(
            rows_of(records), transaction=transaction, number=entries[-1].number, after=done
        ):
            total += len(entries)


def _read(entries: Iterable[UsageEntry], stream: UsageStream) -> Iterable[UsageRecord]:
    for entry in entries:
        try:
            yield from _decode(entry.data)
        except msgspec.MsgspecError:
            # Of a version of ours that writes it otherwise: nothing says how many reads it has.
            log.exception("usage: an entry cannot be read, and is left out")
            stream.note_dropped(1)
