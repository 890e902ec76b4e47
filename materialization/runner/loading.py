"""The online half of a run: bring Redis to what the offline store says, and mark it loaded.

The offline store is the source, so online answers equal point-in-time answers by construction.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from django.conf import settings

from lib.errors import Unavailable
from lib.instants import from_us, to_us
from materialization.choices import RunKind, RunStep
from materialization.edges.engines import engine
from materialization.edges.stores import later_rows, offline_store, online_store, push_log
from materialization.ingest.events import event_layout
from materialization.queries import covered_until, newest_sequence, stored_since, table_at
from materialization.runner.adopting import adopt_windows
from materialization.stores.event_bounds import HOP_HEADER, MOST_BYTES
from materialization.stores.event_merging import refuse_crowded
from materialization.stores.layout import layout_of
from registry.choices import SERVED_STATES
from registry.models import FeatureTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    import pyarrow as pa

    from materialization.models import MaterializationRun
    from materialization.runner.heartbeat import Heartbeat
    from materialization.stores.events import EventLayout
    from materialization.stores.online_protocol import Marker, OnlineStore
    from registry.models import FeatureViewVersion
    from registry.spec.version_spec import VersionSpec


class StoreEmptied(Unavailable):
    code = "online_store_emptied"


class Load(NamedTuple):
    """Which load of its table it was, and for how long after their event rows stay; None: for ever.

    Later loads have greater numbers, also those of runs that began earlier and were paused.
    """

    generation: int
    kept_for: timedelta | None


def load_online(run: MaterializationRun, heartbeat: Heartbeat, *, at: datetime) -> Load:
    """Merge the newest stored row of each entity into Redis, then set the table's marker.

    Where all earlier rows are loaded only those this run stored can be new; else all are read.
    :raises StoreEmptied: Redis lost its data meanwhile; the run is tried again from the start.
    """
    run.advance(step=RunStep.ONLINE)
    if run.kind == RunKind.RELOAD:  # as before storing: the marker speaks for all that is stored
        adopt_windows(run.table)
    if run.table.ready_at is None:
        FeatureTable.objects.filter(pk=run.table.pk).update(loading_since=at)
    store, uid = online_store(), run.table.uid
    server = push_log().server() if run.version.spec.is_pushed else ""
    ticket = store.begin_load(uid)
    marker = store.marker(uid)
    ttl = longest_ttl(run.table)
    is_complete = run.kind == RunKind.RELOAD or not holds_all(
        run.table, marker, ttl, but=run.sequence
    )
    as_of = covered_until(run.table) or run.window_end
    if run.version.spec.is_pushed:  # its rows come without runs, and all that came is known
        as_of = max(as_of, at)
    loaded = newest_sequence(run.table)
    run.table.refresh_from_db(fields=["generation"])
    load = Load(max(run.pk, run.table.generation + 1), ttl)
    written = 0
    if is_complete or run.sequence is not None:  # else it stored nothing that could be new
        only = None if is_complete else run.sequence
        written = _merge(run, heartbeat, store, only=only, as_of=as_of, ttl=ttl, at=at)
    facts: dict[str, Any] = {
        "generation": load.generation,
        "as_of": as_of,
        "sequence": loaded,
        "ttl": ttl,
    }
    if run.version.spec.has_windows_online:
        own = event_layout(run.version.spec, uid=uid)
        facts["hops"] = own.hop, own.longest
    if not store.finish_load(uid, ticket, **facts):
        raise StoreEmptied(
            "Redis lost its data or restarted while the run was writing; it will be loaded again."
        )
    if server and is_complete:
        push_log().note_loaded(uid, server)
    run.advance(rows_online=written)
    return load


def _merge(
    run: MaterializationRun,
    heartbeat: Heartbeat,
    store: OnlineStore,
    *,
    only: int | None,
    as_of: datetime,
    ttl: timedelta | None,
    at: datetime,
) -> int:
    """Write the newest rows, ``only`` those of one sequence; return how many entities they had."""
    spec = run.version.spec
    if spec.has_windows_online:
        # What a run has changed may be how often an event of an earlier one is there.
        snapshot = offline_store().snapshot(table_at(run.table))
        own = event_layout(spec, uid=run.table.uid)
        _refuse_crowded(snapshot.events, spec, own, heartbeat, only=only, at=at)
        with engine().kept_events(snapshot.events, spec, as_of=at, sequence=only) as reader:
            done = store.write(own, _watched(reader, heartbeat), ttl=ttl, at=at)
        return done.written + done.skipped
    snapshot = offline_store().snapshot(table_at(run.table), sequence=only)
    if snapshot.is_empty:
        return 0
    layout = layout_of(spec, uid=run.table.uid)
    # Of a reload readers wait for the end; of anything else they must not notice.
    share = 1.0 if run.kind == RunKind.RELOAD else settings.ONLINE_WRITE_PERCENT / 100
    with engine().latest_rows(snapshot.files, spec, as_of=as_of, sequence=only) as reader:
        result = store.write(layout, _watched(reader, heartbeat), ttl=ttl, at=at, share=share)
    if spec.is_pushed:  # no run comes to them: they wait where those wait that are pushed
        with engine().later_rows(snapshot.files, spec, after=as_of) as reader:
            later_rows().keep(layout, _watched(reader, heartbeat), at=as_of)
    return result.written + result.skipped


def _refuse_crowded(
    files: Sequence[str],
    spec: VersionSpec,
    own: EventLayout,
    heartbeat: Heartbeat,
    *,
    only: int | None,
    at: datetime,
) -> None:
    """Refuse a load before it begins: readers have what they had, and not the half of it.

    All that is stored of an entity is judged: what is online of it was stored before.

    :raises TooManyEventsLoaded: a hop would have more than it takes.
    """
    if spec.is_pushed:  # each push was judged
        return
    hop, longest = timedelta(microseconds=own.hop), timedelta(microseconds=own.longest)
    since = from_us(own.oldest_hop(to_us(at)) * own.hop)  # the whole of the oldest hop is there
    most = MOST_BYTES - HOP_HEADER
    among = engine().crowded_entities(files, spec, hop=hop, since=since, most=most, sequence=only)
    if among.num_rows:
        with engine().kept_events(files, spec, as_of=since + longest, among=among) as reader:
            refuse_crowded(own, _watched(reader, heartbeat), at=at)


def _watched(reader: Iterator[pa.RecordBatch], heartbeat: Heartbeat) -> Iterator[pa.RecordBatch]:
    for batch in reader:
        if heartbeat.stopped is not None:
            raise heartbeat.stopped
        yield batch


def holds_all(
    table: FeatureTable, marker: Marker | None, ttl: timedelta | None, *, but: int | None = None
) -> bool:
    """Return whether what is in Redis is complete for readers that want rows up to ``ttl`` old.

    Rows of the sequence ``but`` are left out. A run that ended between storing and loading leaves
    rows behind that no later run's own rows make up for. A marker of an older load than the last
    came back with an older state of Redis.
    """
    if marker is None or not speaks_for(marker, table, ttl):
        return False
    return not stored_since(table, marker.sequence, but=but).exists()


def speaks_for(marker: Marker, table: FeatureTable, ttl: timedelta | None) -> bool:
    """Return whether what the marker says is of the table's last load, and of rows ``ttl`` old."""
    if marker.generation < table.generation:
        return False
    return marker.ttl is None or (ttl is not None and ttl <= marker.ttl)


def longest_ttl(table: FeatureTable) -> timedelta | None:
    """Return how long the longest-lived served version answers from a row; None: for ever."""
    return longest_of(table.versions.filter(state__in=SERVED_STATES).defer("packet"))


def longest_of(versions: Iterable[FeatureViewVersion]) -> timedelta | None:
    """Return the longest TTL of these versions of one table; None: one never expires."""
    ttls = [version.spec.ttl for version in versions]
    return None if None in ttls or not ttls else max(ttl for ttl in ttls if ttl is not None)
