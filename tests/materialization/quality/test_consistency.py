"""The certificate of a table: whatever is wrong online is found, named, and put right."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from django.core.management import CommandError, call_command

from lib.connections import get_redis
from materialization.choices import CertificateKind, CertificateStatus, RunKind
from materialization.edges.engines import engine
from materialization.edges.sources import whereabouts
from materialization.edges.stores import offline_store, online_store
from materialization.finding.kinds import find_source
from materialization.models import Alert, Certificate
from materialization.quality.consistency.findings import (
    DIFFERENT,
    MOST_EXAMPLES,
    Example,
    Findings,
)
from materialization.quality.consistency.online import compare_online
from materialization.quality.consistency.rows import is_same, stamps_of
from materialization.quality.consistency.subject import NotLoaded, Stores, Subject
from materialization.queries import table_at
from materialization.requests.certificates import NotComparable, request_certificate
from materialization.runner.certifying import certify, words_of
from materialization.stores.layout import layout_of, marker_key
from tests.factories import DEFINITIONS, ENTITY, SOURCE, make_version, verbs_of
from tests.materialization.run_world import (
    AT,
    DRIVERS,
    HOUR,
    ROWS,
    committed,
    fresh,
    marker,
    materialize,
    offline,
    online,
    table_of,
    write_rows,
)

pytestmark = pytest.mark.django_db
FULL = None
WINDOWED = """
kind: FeatureView
name: driver_windows
entities: [driver]
source: driver_stats
aggregations:
  - {column: avg_daily_trips, functions: [count], windows: [1h]}
features:
  - {name: trips_1h, column: avg_daily_trips_count_1h, type: int64}
schedule: {every: 1h}
owner: rides
"""


@pytest.fixture(autouse=True)
def _unhurried(settings):
    settings.COMPARE_ROWS_PER_SECOND = 100_000_000


@pytest.fixture
def loaded(cast, version):
    with committed():
        materialize(version)
    return fresh(version)


def subject_of(version):
    table = table_of(version)
    spec = version.spec
    return Subject(spec, layout_of(spec, uid=table.uid), table_at(table), table.generation)


def compare(version, *, sample=FULL, repair=False, at=AT, watch=lambda found, cost: None):
    stores = Stores(offline_store(), online_store(), engine())
    return compare_online(
        subject_of(version), stores, sample=sample, repair=repair, clock=lambda: at, watch=watch
    ).findings


def counts(found):
    return {k: getattr(found, k) for k in ("missing", "extra", "different") if getattr(found, k)}


def key_of(version, driver):
    return subject_of(version).layout.keys([b"{%d}" % driver])[0]


def decoded(version, driver):
    return msgspec.msgpack.decode(get_redis().get(key_of(version, driver)))


def put(version, driver, values):
    """Write a row as packing does: three 64-bit numbers, then the features."""
    head = b"\xdc" + len(values).to_bytes(2, "big")
    numbers = b"".join(b"\xd3" + n.to_bytes(8, "big", signed=True) for n in values[:3])
    features = b"".join(msgspec.msgpack.encode(value) for value in values[3:])
    get_redis().set(key_of(version, driver), head + numbers + features)


# --- what can be wrong --------------------------------------------------------------------------


def a_key_is_gone(version):
    get_redis().delete(key_of(version, 1001))
    return {"missing": 1}


def a_byte_is_changed(version):
    key = key_of(version, 1001)
    row = get_redis().get(key)
    get_redis().set(key, row[:-1] + bytes([row[-1] ^ 1]))
    return {"different": 1}


def a_row_is_cut(version):
    key = key_of(version, 1001)
    get_redis().set(key, get_redis().get(key)[:20])
    return {"different": 1}


def a_row_is_older(version):
    event, created, *rest = decoded(version, 1001)
    put(version, 1001, [event, created - 1, *rest])
    return {"different": 1}


def a_row_is_newer_than_any_stored(version):
    event, created, *rest = decoded(version, 1001)
    put(version, 1001, [event, created + 1, *rest])
    return {"different": 1}


def null_is_zero(version):
    *head, _ = decoded(version, 1003)
    put(version, 1003, [*head, 0])
    return {"different": 1}


def a_sign_is_turned(version):
    *head, acc, trips, conv = decoded(version, 1001)
    put(version, 1001, [*head, acc, trips, -conv])
    return {"different": 1}


def an_entity_nobody_stored(version):
    put(version, 4711, decoded(version, 1001))
    return {"extra": 1}


def a_key_nobody_can_read(version):
    get_redis().set(key_of(version, 1) + b"x", b"what")
    return {"extra": 1}


def half_of_it_is_lost(version):
    get_redis().delete(key_of(version, 1001), key_of(version, 1002))
    put(version, 4711, decoded(version, 1003))
    return {"missing": 2, "extra": 1}


def all_of_it_is_lost_but_the_marker(version):
    kept = get_redis().get(marker_key(table_of(version).uid))
    get_redis().flushall()
    get_redis().set(marker_key(table_of(version).uid), kept)
    return {"missing": 3}


CORRUPTIONS = [
    a_key_is_gone, a_byte_is_changed, a_row_is_cut, a_row_is_older, a_row_is_newer_than_any_stored,
    null_is_zero, a_sign_is_turned, an_entity_nobody_stored, a_key_nobody_can_read,
    half_of_it_is_lost, all_of_it_is_lost_but_the_marker,
]  # fmt: skip


@pytest.mark.parametrize("sample", [FULL, 100])
def test_whatever_is_wrong_is_found_and_put_right(loaded, sample):
    before = online(loaded, DRIVERS, at=AT)
    assert before == offline(loaded, DRIVERS, at=AT)
    for corrupt in CORRUPTIONS:
        expected = corrupt(loaded)

        assert (corrupt, counts(compare(loaded, sample=sample))) == (corrupt, expected)
        repaired = compare(loaded, sample=sample, repair=True)

        assert (counts(repaired), repaired.repaired) == (expected, sum(expected.values())), corrupt
        assert counts(compare(loaded)) == {}
        assert online(loaded, DRIVERS, at=AT) == before


def test_examples_say_which_entity_and_which_feature(loaded):
    a_key_is_gone(loaded)
    *head, acc, trips, _ = decoded(loaded, 1002)
    put(loaded, 1002, [*head, acc, trips + 1, 0.125])

    found = compare(loaded).examples

    missing, different = sorted(found, key=lambda each: each.key)
    assert (missing.kind, missing.key) == ("missing", "driver_id=1001")
    assert (different.kind, different.key) == ("different", "driver_id=1002")
    assert different.features == ("avg_daily_trips", "conv_rate")
    assert missing.stored["event_timestamp"] == "2026-03-01T03:00:00Z"
    assert missing.online is None


# --- what is not wrong --------------------------------------------------------------------------


def test_a_row_that_is_dead_by_its_ttl_may_be_gone(loaded):
    get_redis().delete(key_of(loaded, 1001))  # its event is nine hours before AT, its TTL two days
    last = AT - 9 * HOUR + timedelta(days=2)

    assert counts(compare(loaded, at=last)) == {"missing": 1}
    found = compare(loaded, at=last + timedelta(microseconds=1))

    assert (counts(found), found.expired) == ({}, 1)


@pytest.mark.parametrize("sample", [FULL, 100])
def test_what_a_run_is_loading_meanwhile_is_no_difference(cast, sources, loaded, sample):
    """One run ends between the marker and the rows, another has stored and loads just now."""
    write_rows(sources, [*ROWS, (1001, AT + HOUR / 2, AT + HOUR / 2, 0.5, 12),
                         (4711, AT + HOUR / 2, AT + HOUR / 2, 0.5, 1)])  # fmt: skip
    began = []

    class RunsMeanwhile:
        def __getattr__(self, name):
            return getattr(offline_store(), name)

        def snapshot(self, place, **wanted):
            found = offline_store().snapshot(place, **wanted)
            if not began:
                began.append(1)
                with committed():
                    assert materialize(loaded, end=AT + HOUR).rows_offline == 2
            return found

    stores = Stores(RunsMeanwhile(), online_store(), engine())
    found = compare_online(
        subject_of(loaded), stores, sample=sample, repair=True, clock=lambda: AT + HOUR,
        watch=lambda found, cost: None,
    ).findings  # fmt: skip

    assert (counts(found), found.repaired) == ({}, 0)
    assert online(loaded, {"driver_id": [1001, 4711]}, at=AT + HOUR)["avg_daily_trips"] == [12, 1]


def test_a_repair_gives_way_to_what_was_written_meanwhile(loaded):
    """Between the look and the hand a run writes a newer row."""
    a_row_is_older(loaded)
    an_entity_nobody_stored(loaded)
    event, created, *rest = decoded(loaded, 1001)
    newer = [event + 1, created + 1, *rest]

    class Overtaken:
        def __getattr__(self, name):
            return getattr(online_store(), name)

        def rows_at(self, keys):
            found = online_store().rows_at(keys)
            for driver in (1001, 4711):
                if key_of(loaded, driver) in keys:
                    put(loaded, driver, newer)
            return found

    stores = Stores(offline_store(), Overtaken(), engine())
    found = compare_online(
        subject_of(loaded), stores, sample=FULL, repair=True, clock=lambda: AT,
        watch=lambda found, cost: None,
    ).findings  # fmt: skip

    assert (found.different, found.extra, found.repaired) == (1, 1, 0)
    assert decoded(loaded, 1001) == decoded(loaded, 4711) == newer


@pytest.fixture
def meanwhile(loaded, sources):
    """A clock: once, before a repair changes what is wrong, it is as late as it takes to ``do``."""

    def clock_that(do):
        began = []

        def clock():
            if not began and Certificate.objects.filter(status="running").exists():
                began.append(1)
                do()
            return AT + HOUR

        return clock

    return clock_that


def repaired_by(version, clock):
    made = request_certificate(version=version, sample=FULL, repair=True, at=AT, actor=None)
    with committed():
        certify(certificate_id=made.pk, worker="w", clock=clock)
    made.refresh_from_db()
    return made


def test_what_was_put_right_is_told_though_a_run_made_the_comparison_begin_again(
    loaded, sources, meanwhile
):
    write_rows(sources, [*ROWS, (4711, AT + HOUR / 2, AT + HOUR / 2, 0.5, 1)])
    a_byte_is_changed(loaded)
    before = marker(loaded)

    done = repaired_by(loaded, meanwhile(lambda: materialize(loaded, end=AT + HOUR)))

    assert marker(loaded) != before
    assert (done.status, done.different, done.repaired) == ("equal", 0, 1)
    assert [(each["kind"], each["key"]) for each in done.examples] == [
        ("different", "driver_id=1001")
    ]
    assert verbs_of(done) == ["requested", "repaired"]


def test_what_was_put_right_is_told_though_the_table_ceased_to_be_loaded(loaded, meanwhile):
    a_byte_is_changed(loaded)

    done = repaired_by(loaded, meanwhile(lambda: no_marker(loaded)))

    assert (done.status, done.repaired, len(done.examples)) == ("failed", 1, 1)
    assert verbs_of(done) == ["requested", "repaired"]


def test_a_comparison_that_begins_again_keeps_no_more_examples_of_a_kind():
    found = Findings()
    for _ in range(3):
        found = found.put_right()
        found.repaired += 1
        for key in map(str, range(MOST_EXAMPLES + 1)):
            found.note(Example(DIFFERENT, key))

    assert (found.repaired, found.different) == (3, MOST_EXAMPLES + 1)
    assert len(found.examples) == MOST_EXAMPLES


# --- what cannot be said ------------------------------------------------------------------------


def no_marker(version):
    get_redis().delete(marker_key(table_of(version).uid))


def older_generation(version):
    old = msgspec.structs.replace(marker(version), generation=0)
    get_redis().set(marker_key(table_of(version).uid), msgspec.msgpack.encode(old))


def flushed(version):
    get_redis().flushall()


@pytest.mark.parametrize("lose", [no_marker, older_generation, flushed])
def test_of_a_table_that_is_not_loaded_nothing_is_said(loaded, lose):
    lose(loaded)

    with pytest.raises(NotLoaded, match="not loaded"):
        compare(loaded)


def test_what_is_lost_while_it_is_compared_is_no_difference(loaded):
    with pytest.raises(NotLoaded):
        compare(loaded, watch=lambda found, cost: get_redis().flushall(), repair=True)


# --- packed rows --------------------------------------------------------------------------------


def test_the_same_row_in_another_width_is_the_same_and_another_value_is_not():
    def row(*values):
        return b"\x95" + b"".join(values)

    wide, narrow = row(b"\xd2\x00\x00\x00\x01"), row(b"\x01")
    assert is_same(wide[:6], narrow[:2]) is False  # cut: not a row of one
    assert is_same(b"\x91\xd2\x00\x00\x00\x01", b"\x91\x01")
    assert not is_same(b"\x91\xcb" + bytes(8), b"\x91\xcb\x80" + bytes(7))  # 0.0 and -0.0
    assert not is_same(b"\x91\xc0", b"\x91\xa3NaN")
    assert not is_same(b"\x91\x01", b"\x91\xc3")  # 1 and true
    assert stamps_of(b"\x91\x01") is None


# --- the command --------------------------------------------------------------------------------


def test_the_command_says_what_it_found_in_a_table_and_in_its_exit_code(loaded, capsys):
    call_command("compare", "rides")
    assert "sample 1000" in capsys.readouterr().out
    assert not Alert.objects.exists()
    an_entity_nobody_stored(loaded)
    a_byte_is_changed(loaded)

    with committed(), pytest.raises(SystemExit) as ended:
        call_command("compare", "rides", "driver_hourly@1.0.0", "--full", "--examples")
    out = capsys.readouterr().out

    assert ended.value.code == 1
    cells = out.splitlines()[1].split()
    assert cells == ["driver_hourly@1.0.0", "full", *"42011000"]
    assert "different driver_id=1001 in" in out
    alert = Alert.objects.get()
    assert (alert.kind, alert.code, alert.state) == ("inconsistent", "online_differs", "open")
    assert "1001" not in alert.words
    made = Certificate.objects.first()
    assert (made.asker, verbs_of(made)) == ("shell", ["requested", "differed"])


def test_all_being_equal_again_closes_the_alert_and_a_sample_does_not(loaded, capsys):
    a_byte_is_changed(loaded)
    row = get_redis().get(key_of(loaded, 1001))
    with committed(), pytest.raises(SystemExit):
        call_command("compare", "--full")
    with committed(), pytest.raises(SystemExit):
        call_command("compare", "--repair")

    done = Certificate.objects.first()
    assert (done.status, done.sample, done.repair) == (CertificateStatus.EQUAL, None, False)
    assert done.asker == "shell"
    repair = Certificate.objects.get(repair=True)
    assert (repair.status, repair.different, repair.repaired) == ("different", 1, 1)
    assert verbs_of(repair) == ["requested", "repaired"]
    assert Alert.objects.get().state == "closed"
    assert get_redis().get(key_of(loaded, 1001)) != row


@pytest.mark.parametrize("names", [("nowhere",), ("rides", "driver_hourly@9.0.0")])
def test_the_command_refuses_what_is_not_there(loaded, names):
    with pytest.raises(CommandError, match="nothing that is served online"):
        call_command("compare", *names)


# --- stored rows and the source -----------------------------------------------------------------


def certified(version, at=AT):
    made = request_certificate(
        version=version, kind=CertificateKind.SOURCE, sample=7, at=at, actor=None
    )
    with committed():
        certify(certificate_id=made.pk, worker="w", clock=lambda: at)
    made.refresh_from_db()
    return made


def test_rows_the_table_lacks_are_missing_and_those_of_changed_files_are_late(loaded, sources):
    equal = certified(loaded)
    counted = (equal.status, equal.sample, equal.compared, equal.missing, equal.late)
    assert counted == ("equal", None, 4, 0, 0)

    late = [*ROWS, (1001, AT - HOUR, AT - HOUR, 0.5, 12), (1001, AT + HOUR, AT + HOUR, 0.5, 13)]
    write_rows(sources, late)
    found = certified(loaded)
    assert (found.status, found.compared, found.equal, found.late) == ("equal", 5, 4, 1)

    # As if a run had seen the file and lost that row.
    part = loaded.table.source_parts.get()
    (now,) = find_source(loaded.spec.rows_from, whereabouts(loaded.spec, _project(loaded))).parts()
    loaded.table.source_parts.filter(pk=part.pk).update(identity=now.identity)
    gap = certified(loaded)

    assert (gap.status, gap.missing, gap.late) == ("different", 1, 0)
    assert gap.examples == [
        {"kind": "missing", "key": "driver_id=1001", "source": {
            "event_timestamp": "2026-03-01T11:00:00Z", "created_timestamp": "2026-03-01T11:00:00Z"}}
    ]  # fmt: skip
    alert = Alert.objects.get()
    assert (alert.subject, alert.code) == ("driver_hourly@1.0.0, its source", "source_differs")

    with committed():
        run = materialize(loaded, at=AT + HOUR / 2, window_start=AT - 10 * HOUR)
    assert (run.kind, run.rows_offline) == ("again", 1)
    assert certified(loaded).status == "equal"
    assert Alert.objects.get().state == "closed"


def _project(version):
    return version.feature_view.project


def test_rows_gone_from_the_source_are_counted_whichever_files_changed(cast, sources):
    """Of two files one stays as it is, the other loses a row: both have to be looked through."""

    def write(name, rows):
        write_rows(sources, rows).rename(sources / name)

    write("a.parquet", ROWS[:2])
    write("b.parquet", ROWS[2:])
    text = DEFINITIONS.replace("path: driver_stats.parquet", 'path: "*.parquet"')
    with committed():
        version = make_version(cast, text=text)
        materialize(version)
    assert certified(fresh(version)).gone == 0

    write("b.parquet", ROWS[2:3])
    one = certified(fresh(version))
    assert (one.status, one.compared, one.missing, one.late, one.gone) == ("equal", 3, 0, 0, 1)

    (sources / "a.parquet").unlink()
    rest = certified(fresh(version))
    assert (rest.status, rest.compared, rest.gone) == ("equal", 1, 2)
    assert words_of(rest).endswith("1 equal, none differ; 2 gone from the source")


@pytest.fixture
def ticks(cast, sources):
    """Stored hourly ticks of a source that says when its rows were known."""
    write_rows(sources, ROWS)
    with committed():
        version = make_version(cast, text="\n---\n".join((ENTITY, SOURCE, WINDOWED)))
        materialize(version)
    return fresh(version)


def test_ticks_are_computed_again_and_compared(ticks, sources):
    equal = certified(ticks)
    assert (equal.status, equal.different, equal.missing, equal.late) == ("equal", 0, 0, 0)
    assert equal.compared > 0

    # A row that says that it was known before the ticks that lack it.
    write_rows(sources, [*ROWS, (1001, AT - 3 * HOUR, AT - 3 * HOUR, 0.5, 1000)])
    found = certified(ticks)

    assert found.status == "different"
    assert found.different + found.missing > 0
    assert found.equal + found.different + found.missing == found.compared
    assert found.examples[0]["key"] == "driver_id=1001"
    assert Alert.objects.get().code == "source_differs"
    with committed():
        run = materialize(ticks, kind=RunKind.RECOMPUTE, end=AT)
    assert run.status == "succeeded"
    assert certified(ticks).status == "equal"
    assert Alert.objects.get().state == "closed"


def test_ticks_whose_windows_a_trimmed_source_has_in_part_are_gone_and_stay(cast, sources):
    """They would come out smaller: no difference, and no backfill spoils them."""
    rows = [(1001, AT - n * HOUR, AT - n * HOUR, 0.5, n) for n in (9, 8, 7, 6, 5, 4, 3, 2)]
    write_rows(sources, rows)
    windowed = WINDOWED.replace("1h]", "4h]").replace("count_1h", "count_4h")
    with committed():
        version = make_version(cast, text="\n---\n".join((ENTITY, SOURCE, windowed)))
        materialize(version)
    whole = certified(fresh(version))
    assert (whole.status, whole.gone) == ("equal", 0)
    stored = online(version, DRIVERS, at=AT)

    write_rows(sources, rows[3:])
    trimmed = certified(fresh(version))

    assert (trimmed.status, trimmed.differences, trimmed.late) == ("equal", 0, 0)
    assert (trimmed.gone > 0, trimmed.compared > 0) == (True, True)
    assert trimmed.compared + trimmed.gone >= whole.compared
    with committed():
        run = materialize(fresh(version), kind=RunKind.RECOMPUTE, end=AT)
    assert (run.status, run.source_counts["corrected"]) == ("succeeded", 0)
    assert run.source_counts["gone"] == trimmed.gone
    assert "before 2026-03-01 10:00:00 UTC it has a part only" in run.source_counts["why_gone"]
    assert online(version, DRIVERS, at=AT) == stored


def test_a_source_is_trimmed_too_that_lost_rows_of_its_first_tick_alone(cast, sources):
    """Its first tick is still the one that was stored first; no row is before it."""
    early = [(1001, AT - 8.75 * HOUR, AT - 8.75 * HOUR, 0.5, 3)]
    rows = [(1001, AT - n * HOUR, AT - n * HOUR, 0.5, int(n)) for n in (8.25, 7, 6, 5, 4, 3, 2)]
    write_rows(sources, [*early, *rows])
    windowed = WINDOWED.replace("1h]", "4h]").replace("count_1h", "count_4h")
    with committed():
        version = make_version(cast, text="\n---\n".join((ENTITY, SOURCE, windowed)))
        materialize(version, end=AT - 4 * HOUR)
        materialize(version)
    assert certified(fresh(version)).status == "equal"

    write_rows(sources, rows)
    trimmed = certified(fresh(version))

    assert (trimmed.status, trimmed.differences, trimmed.gone > 0) == ("equal", 0, True)


@pytest.mark.parametrize("start", [None, AT - 12 * HOUR])
def test_a_wrong_first_row_is_taken_out_where_somebody_asks_for_it(cast, sources, start):
    """A certificate cannot tell it from a trimmed one; from then on the source begins later."""
    rows = [(1001, AT - n * HOUR, AT - n * HOUR, 0.5, n) for n in (9, 8, 7, 6, 5, 4, 3, 2)]
    before = AT - 9 * HOUR - HOUR / 6
    write_rows(sources, [(1001, before, before, 0.5, 1000), *rows])
    windowed = WINDOWED.replace("1h]", "4h]").replace("count_1h", "count_4h")
    with committed():
        version = make_version(cast, text="\n---\n".join((ENTITY, SOURCE, windowed)))
        materialize(version)
    write_rows(sources, rows)
    doubtful = certified(fresh(version))
    assert (doubtful.status, doubtful.gone) == ("equal", 4)

    with committed():
        run = materialize(fresh(version), kind=RunKind.RECOMPUTE, end=AT, window_start=start)
    corrected = certified(fresh(version))

    found = run.source_counts
    assert (run.status, found["corrected"], found["gone"]) == ("succeeded", 4, 0)
    assert "why_gone" not in run.source_counts
    assert (corrected.status, corrected.gone) == ("equal", 0)


def test_only_the_latest_ticks_are_compared_where_that_is_asked(ticks, sources):
    write_rows(sources, [*ROWS, (1001, AT - 9 * HOUR, AT - 9 * HOUR, 0.5, 1000)])

    def since(at):
        made = request_certificate(
            version=ticks, kind=CertificateKind.SOURCE, sample=None, since=at, at=AT, actor=None
        )
        with committed():
            certify(certificate_id=made.pk, worker="w", clock=lambda: AT)
        made.refresh_from_db()
        return made

    late, early = since(AT - HOUR), since(AT - 12 * HOUR)

    assert (late.status, late.differences) == ("equal", 0)
    assert early.status == "different"
    assert early.compared > late.compared
    assert since(AT - HOUR).status == "equal"
    assert Alert.objects.get().state == "open"  # a part closes nothing


def test_the_source_is_not_put_right_by_a_comparison(loaded):
    with pytest.raises(NotComparable, match="materialize"):
        request_certificate(
            version=loaded, kind=CertificateKind.SOURCE, sample=None, repair=True, at=AT,
            actor=None,
        )  # fmt: skip
