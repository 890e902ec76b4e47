"""Certificates of windows over pushed rows: what is on its way, what was changed in Redis.

That they see all equal in thousands of random histories is in ``test_many_histories``.
"""

from __future__ import annotations

import contextlib
import random
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import count
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command
from django.urls import reverse

from lib.connections import get_redis
from lib.errors import Unavailable
from lib.instants import to_us
from materialization.choices import CertificateKind, RunKind
from materialization.edges.engines import engine
from materialization.edges.stores import offline_store, online_store, push_log
from materialization.ingest.events import event_layout
from materialization.models import Alert, Certificate
from materialization.quality.consistency import putting_right
from materialization.quality.consistency import windows as comparing
from materialization.quality.consistency.findings import MOST_EXAMPLES
from materialization.quality.consistency.subject import Stores, Subject
from materialization.queries import table_at
from materialization.requests.certificates import (
    NotComparable,
    compare_due,
    compare_sources_due,
    request_certificate,
)
from materialization.runner import certifying
from materialization.runner.certifying import certify, words_of
from materialization.runner.draining import drain_logs, drained
from materialization.stores import event_exchange
from materialization.stores.layout import layout_of
from materialization.stores.online_protocol import RowsUnreadable
from tests.factories import verbs_of
from tests.materialization.ingest.push_world import approved, ready
from tests.materialization.ingest.window_world import HOUR, VIEW, definitions, push
from tests.materialization.run_world import (
    AT,
    committed,
    fresh,
    materialize,
    offline,
    online,
    table_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    import pyarrow as pa

    from registry.models import FeatureViewVersion

pytestmark = pytest.mark.django_db
US = timedelta(microseconds=1)
DRIVERS = 40
LAST = DRIVERS - 1
#: Driver → what no step of ours leaves in a hop.
UNREADABLE = {11: b"x", 12: b"\0\0\0\1" + b"a" * 8, 13: b"\xff" * 40}


@pytest.fixture
def version(cast) -> FeatureViewVersion:
    """Return one with events of all its hops, of which none is stored yet."""
    made = ready(cast, definitions(VIEW))
    chance = random.Random(5)
    rows = [
        {"key": (driver,), "event": AT - chance.random() * 3 * HOUR, "fare": chance.random()}
        for driver in range(DRIVERS)
        for _ in range(6)
    ]
    push(cast, rows, AT)
    return made


def certified(
    version: FeatureViewVersion, clock: Callable[[], datetime] = lambda: AT, **asked: Any
) -> Certificate:
    made = request_certificate(
        version=fresh(version), at=AT, actor=None, **{"sample": None, **asked}
    )
    with committed():
        certify(certificate_id=made.pk, worker="w", clock=clock)
    made.refresh_from_db()
    return made


def test_rows_that_come_while_it_compares_are_no_difference(cast, version, monkeypatch):
    monkeypatch.setattr(comparing, "AT_ONCE", 15)
    fares = count(1)

    def come(drivers: Iterable[int]) -> None:
        push(
            cast,
            [{"key": (each,), "event": AT - HOUR / 7, "fare": next(fares)} for each in drivers],
            AT,
        )

    def clock() -> datetime:
        """Some rows come before each read."""
        come(range(next(fares) % 7, DRIVERS + 20, 7))
        return AT

    def stored_late(*args: Any) -> Iterator[pa.Table]:
        """Some rows come after a read and are stored with those before it."""
        come(range(0, DRIVERS, 3))
        return drained(*args)

    monkeypatch.setattr(certifying, "drained", stored_late)
    done = certified(version, clock)

    assert (done.status, done.differences) == ("equal", 0), (words_of(done), done.examples)
    assert done.equal + done.late == done.compared >= DRIVERS
    assert done.late
    monkeypatch.undo()
    assert certified(version).late == 0


def test_what_nobody_stores_is_on_its_way_and_closes_no_alert(cast, version, online_redis, as_):
    stem = b"w" + table_of(version).uid.encode()
    online_redis.copy(stem + b"{3}", stem + b"{4711}")
    differed = certified(version)
    assert differed.extra == 1
    online_redis.delete(stem + b"{4711}")
    push(cast, [{"key": (1,), "event": AT, "fare": 0.5}], AT)

    with push_log().draining(table_of(version).uid):
        done = certified(version)

    assert (done.status, done.late, done.equal) == ("equal", 1, DRIVERS - 1), words_of(done)
    assert "1 with rows on their way, online and not stored yet" in words_of(done)
    assert Alert.objects.get().state == "open"
    names = [f"admin:materialization_certificate_{name}" for name in ("change", "repair")]
    pages = [
        as_("owner").get(reverse(names[0], args=[each.pk])).content.decode()
        for each in (done, differed)
    ]
    assert all("on the way to the other" in page for page in pages)
    assert [reverse(names[1], args=[differed.pk]) in page for page in pages] == [False, True]
    assert certified(version, sample=5).status == "equal"
    assert certified(version).late == 0
    assert Alert.objects.get().state == "closed"


def test_a_hop_that_was_changed_is_found_with_its_features(version, online_redis):
    drain_logs()
    stem = b"w" + table_of(version).uid.encode()
    names = {n: online_redis.hkeys(stem + b"{%d}" % n) for n in (2, 3, 5, 7)}
    newest = {n: max(set(own) - {b"n"}, key=int) for n, own in names.items()}
    online_redis.delete(stem + b"{1}")
    online_redis.hdel(stem + b"{2}", newest[2])
    field = online_redis.hget(stem + b"{3}", newest[3])
    online_redis.hset(stem + b"{3}", newest[3], field[:-1] + bytes([field[-1] ^ 1]))  # one bit
    online_redis.hset(stem + b"{5}", newest[7], online_redis.hget(stem + b"{7}", newest[7]))
    for n, junk in UNREADABLE.items():
        online_redis.hset(stem + b"{%d}" % n, max(names[2], key=len), junk)
    online_redis.hset(stem + b"{%d}" % LAST, b"n", b"x")

    done = certified(version)

    assert (done.status, done.missing, done.different, done.extra) == ("different", 1, 7, 0)
    assert (done.late, done.equal) == (0, DRIVERS - 8)
    found = {each["key"]: each for each in done.examples}
    assert set(found) == {f"driver_id={n}" for n in (1, 2, 3, 5, *UNREADABLE, LAST)}
    assert found["driver_id=1"]["kind"] == "missing"
    assert "fare_last_k_3_3h" in found["driver_id=3"]["features"]
    assert "fare_sum_3h" in found["driver_id=5"]["features"]
    assert Alert.objects.get().state == "open"
    assert verbs_of(done) == ["differed"]

    # A load brings what lacks, leaves what is there, and ends at what it cannot read.
    for removed, differ in ((*UNREADABLE, LAST), 2), ((3, 5), 0):
        online_redis.delete(*[stem + b"{%d}" % n for n in removed])
        with committed():
            assert materialize(version, kind=RunKind.RELOAD, end=AT).status == "succeeded"
        left = certified(version)
        assert (left.missing, left.different, left.equal) == (0, differ, DRIVERS - differ)
    assert Alert.objects.get().state == "closed"


@contextlib.contextmanager
def reading(version: FeatureViewVersion) -> Iterator[dict[int, list[int]]]:
    """Read all drivers without pause; give driver → how many events each read had of it."""
    seen, layout = defaultdict[int, list[int]](list), event_layout(version.spec, uid=uid(version))
    over, store, drivers = Event(), online_store(), range(DRIVERS)

    def read() -> None:
        while not over.is_set():
            for driver, tag in zip(drivers, layout.entity.tags([drivers]), strict=True):
                (found,) = store.read(0, (), [(layout, [tag])], now=to_us(AT)).tables
                assert found is not None
                if found.is_readable:
                    hops = found.rows[0].hops.values() if found.rows[0] else ()
                    seen[driver].append(sum(len(each.rows) for each in hops))

    with ThreadPoolExecutor() as one:
        reads = one.submit(read)
        try:
            yield seen
        finally:
            over.set()
            reads.result()


def uid(version: FeatureViewVersion) -> str:
    return str(table_of(version).uid)


def test_a_repair_exchanges_events_while_rows_come_and_no_read_ever_has_less(
    cast, version, online_redis, monkeypatch
):
    drain_logs()
    stem = b"w" + uid(version).encode()
    newest = max(set(online_redis.hkeys(stem + b"{2}")) - {b"n"}, key=int)
    online_redis.delete(stem + b"{1}")
    online_redis.hdel(stem + b"{2}", newest)
    for n, junk in UNREADABLE.items():
        online_redis.hset(stem + b"{%d}" % n, newest, junk)
    online_redis.hset(stem + b"{%d}" % LAST, b"n", b"x")
    for stranger in (b"{4711}", b"nobody"):
        online_redis.copy(stem + b"{3}", stem + stranger)
    # A later correction that nobody sent: what is pushed of that time loses to it.
    push(cast, [{"key": (3,), "event": AT - HOUR / 9, "fare": 7.0}], AT)
    drain_logs()
    online_redis.hset(stem + b"{5}", mapping=online_redis.hgetall(stem + b"{3}"))
    broken = [{"key": (LAST,), "event": AT - HOUR / 8, "fare": 1.0}]
    with pytest.raises(Unavailable):
        push(cast, broken, AT)
    fares = count(1)

    def clock() -> datetime:
        """Some rows come before each step, each the first of its time."""
        fare = next(fares)
        push(cast, [{"key": (fare % 11,), "event": AT - fare * US, "fare": fare}], AT)
        return AT

    monkeypatch.setattr(putting_right, "AT_ONCE", 3)
    with reading(version) as seen:
        done = certified(version, clock, repair=True)

    assert (done.extra, done.differences, done.late) == (2, 9, 0), words_of(done)
    assert done.repaired == 9
    # Of the fifth all that was changed goes, also what was too much.
    assert all(sorted(had) == had for driver, had in seen.items() if driver != 5)
    assert min(map(len, seen.values())) > 5
    last = Certificate.objects.order_by("pk").last()
    assert last is not None
    assert (last.status, last.repair) == ("equal", False), (words_of(last), last.examples)
    push(cast, broken, AT)
    assert certified(version).late == 0
    assert not online_redis.exists(stem + b"{4711}", stem + b"nobody")
    assert online_redis.keys("a:aside:*") == []
    assert verbs_of(done) == ["requested", "repaired"]
    assert _put_right(version, [b"{7}", b"{8}"], waits={b"{8}"}) == [b"{7}"]
    read = online(version, {"driver_id": list(range(DRIVERS))}, at=AT)
    assert read == offline(version, {"driver_id": list(range(DRIVERS))}, at=AT)


def test_a_repair_that_fails_leaves_nothing_beside_the_events(version, online_redis, monkeypatch):
    drain_logs()
    online_redis.delete(b"w" + uid(version).encode() + b"{1}")
    merge, brought = event_exchange.merge_events, []

    def full(*args: Any, **kwargs: Any) -> None:
        merge(*args, **kwargs)
        brought.extend(online_redis.keys("a:aside:*"))
        raise Unavailable("Redis has no more room")

    monkeypatch.setattr(event_exchange, "merge_events", full)
    done = certified(version, repair=True)

    assert (done.status, done.repaired, len(brought)) == ("failed", 0, 1)
    assert online_redis.keys("a:aside:*") == []


def _put_right(version: FeatureViewVersion, tags: list[bytes], waits: set[bytes]) -> list[bytes]:
    """Return the entities that were exchanged, each of which had a hop too many."""
    table, spec = table_of(version), version.spec
    subject = Subject(spec, layout_of(spec, uid=table.uid), table_at(table), table.generation)
    stores, keys = (
        Stores(offline_store(), online_store(), engine()),
        event_layout(spec, uid=table.uid).keys(tags),
    )
    for key in keys:
        get_redis().hset(key, b"1", b"")
    before = stores.online.told_at(keys)
    done = sum(
        putting_right.put_right(
            tags, subject=subject, stores=stores, waiting=lambda: waits, clock=lambda: AT
        )
    )
    after = stores.online.told_at(keys)
    for key in keys:
        get_redis().hdel(key, b"1")
    changed = [t for t, b, a in zip(tags, before, after, strict=True) if a != b]
    assert done == len(changed)
    return changed


def test_whatever_byte_was_changed_what_readers_would_notice_is_found(version, online_redis):
    drain_logs()
    stem, chance = b"w" + table_of(version).uid.encode(), random.Random(11)
    had = {n: online_redis.hgetall(stem + b"{%d}" % n) for n in range(MOST_EXAMPLES)}
    stored = offline(version, {"driver_id": list(had)}, at=AT)
    for n, fields in had.items():
        name = chance.choice([b"n", *sorted(fields)])
        changed = bytearray(fields[name])
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        online_redis.hset(stem + b"{%d}" % n, mapping={**fields, name: bytes(changed)})
    noticed = {
        f"driver_id={n}"
        for n in had
        if _read(version, n) != {name: [column[n]] for name, column in stored.items()}
    }

    done = certified(version)

    found = {each["key"] for each in done.examples}
    assert done.status == "different"
    assert noticed <= found, noticed - found


def _read(version: FeatureViewVersion, driver: int) -> dict[str, Any] | None:
    try:
        return online(version, {"driver_id": [driver]}, at=AT)
    except (RowsUnreadable, ValueError, OverflowError, TypeError):
        return None  # a reader is told that it failed


def test_it_is_asked_for_by_itself_and_by_the_shell_and_not_of_what_arrives_without(
    cast, version, capsys
):
    rows = approved(cast)
    with committed():
        materialize(rows)
    compare_due(at=AT)
    compare_sources_due(at=AT)
    asked = [each.version.feature_view.name for each in version.table.certificates.all()]
    assert asked == ["spending"]
    assert not table_of(rows).certificates.exists()
    certify(certificate_id=version.table.certificates.get().pk, worker="w", clock=lambda: AT)
    call_command("compare", "--full")
    assert capsys.readouterr().out.count("spending@1.0.0  full") == 1
    with pytest.raises(NotComparable, match="online before they are offline"):
        request_certificate(version=fresh(rows), sample=None, at=AT, actor=None)
    with pytest.raises(NotComparable, match="no source"):
        certified(version, kind=CertificateKind.SOURCE)
