"""Which consumer reads which part: shared evenly by those that live, a row a part.

Not what keeps a record from being taken twice: places do (``stores.push_log``), whoever reads.
"""

from __future__ import annotations

import os
import secrets
import socket
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db.models import Q

from materialization.models import StreamConsumer, StreamPart

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from registry.models import FeatureTable

#: For how long a consumer is taken to live without saying so again.
LEASE = timedelta(seconds=20)
#: After which time nobody remembers one that ended.
_FORGOTTEN = timedelta(days=1)


def note_living(name: str, *, at: datetime) -> int:
    """Note that a consumer lives; return how many do."""
    StreamConsumer.objects.update_or_create(name=name, defaults={"seen_at": at})
    StreamConsumer.objects.filter(seen_at__lt=at - _FORGOTTEN).delete()
    return StreamConsumer.objects.filter(seen_at__gte=at - LEASE).count()


def note_parts(table: FeatureTable, stream: str, partitions: Collection[int]) -> None:
    """Make a row of each partition that has none yet; rows of those that are gone stay."""
    parts = StreamPart.objects.filter(table=table, stream=stream)
    known = set(parts.values_list("partition", flat=True))
    new = [
        StreamPart(table=table, stream=stream, partition=each)
        for each in partitions
        if each not in known
    ]
    StreamPart.objects.bulk_create(new, ignore_conflicts=True)


def share(name: str, parts: Collection[StreamPart], living: int, *, at: datetime) -> set[int]:
    """Keep, take and give up parts so that each living consumer has as many; return one's own."""
    fair = -(-len(parts) // max(living, 1))
    ids = [part.pk for part in parts]
    mine = [part.pk for part in parts if part.consumer == name]
    kept, beyond = mine[:fair], mine[fair:]
    rows = StreamPart.objects.filter(consumer=name)
    if beyond:
        rows.filter(pk__in=beyond).update(consumer="", leased_until=None)
    rows.filter(pk__in=kept).update(leased_until=at + LEASE)
    free = Q(leased_until=None) | Q(leased_until__lt=at)
    for pk in ids:
        if len(kept) >= fair:
            break
        wanted = StreamPart.objects.filter(free, pk=pk).exclude(consumer=name)
        if pk not in kept and wanted.update(consumer=name, leased_until=at + LEASE):
            kept.append(pk)
    return set(StreamPart.objects.filter(pk__in=kept, consumer=name).values_list("pk", flat=True))


def name_of_us() -> str:
    """Return a new name of a consumer: machine, process, and what tells it from those before."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


def end_dead(name: str) -> None:
    """Give up what consumers have whose processes died on ``name``'s machine: it follows them.

    Call it when a process begins. Machines that share a name see each other's as dead: who is not
    says so again with its next look, and shares.
    """
    machine, pid, _ = name.rsplit("-", 2)
    known = StreamConsumer.objects.filter(name__startswith=f"{machine}-").exclude(name=name)
    for other in known.values_list("name", flat=True):
        where, number, _ = other.rsplit("-", 2)
        # In a container each process may have the number of the one before.
        if where == machine and (number == pid or not _runs(int(number))):
            end(other)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)  # only asks
    except OSError as exc:
        return isinstance(exc, PermissionError)
    return True


def end(name: str) -> None:
    """Give up all that a consumer has: it ends."""
    StreamPart.objects.filter(consumer=name).update(consumer="", leased_until=None)
    StreamConsumer.objects.filter(name=name).delete()
