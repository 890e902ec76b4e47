"""When tables are compared by themselves, what becomes of a comparison whose worker died."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.management import call_command

from lib.connections import get_redis
from lib.errors import Unavailable
from materialization.choices import CertificateKind, CertificateStatus
from materialization.edges.sources import whereabouts
from materialization.finding.kinds import find_source
from materialization.models import Alert, Certificate, MaterializationRun
from materialization.requests.certificates import (
    BadSample,
    ComparisonInProgress,
    NotComparable,
    compare_due,
    compare_sources_due,
    request_certificate,
    requeue_certificates,
)
from materialization.runner.certifying import certify, claim
from materialization.standing import figures
from registry.access import ActionNotPermitted
from tests.factories import VIEW, make_version, verbs_of
from tests.materialization.quality.test_consistency import a_byte_is_changed, decoded
from tests.materialization.run_world import (
    AT,
    DRIVERS,
    HOUR,
    ROWS,
    committed,
    fresh,
    materialize,
    online,
    write_rows,
)
from tests.materialization.runner.test_chunks import Killed

pytestmark = pytest.mark.django_db
SECOND = timedelta(seconds=1)


@pytest.fixture
def loaded(cast, version):
    with committed():
        materialize(version)
    return fresh(version)


def asked(status=CertificateStatus.QUEUED):
    found = Certificate.objects.filter(status=status).order_by("id")
    return [(each.version.feature_view.name, each.sample) for each in found]


def perform_all(at):
    for each in Certificate.objects.filter(status="queued"):
        certify(certificate_id=each.pk, worker="w", clock=lambda: at)


# --- when ---------------------------------------------------------------------------------------


def test_a_loaded_table_is_compared_by_a_sample_every_hour_and_wholly_where_asked(loaded, settings):
    compare_due(at=AT)
    compare_due(at=AT)
    assert asked() == [("driver_hourly", 1000)]
    perform_all(AT)

    compare_due(at=AT + HOUR - SECOND)
    assert asked() == []
    compare_due(at=AT + HOUR)
    assert asked() == [("driver_hourly", 1000)]
    perform_all(AT + HOUR)
    assert asked("equal") == [("driver_hourly", 1000)] * 2

    settings.COMPARE_FULL_EVERY_SECONDS = 86_400
    compare_due(at=AT + HOUR)
    assert asked() == [("driver_hourly", None)]
    perform_all(AT + HOUR)
    compare_due(at=AT + HOUR - 30 * SECOND)  # the clock went back: asked for, not waited for
    assert asked() == [("driver_hourly", None)]


def test_nothing_is_compared_that_is_not_loaded_or_where_it_is_switched_off(version, settings):
    compare_due(at=AT)
    with committed():
        materialize(version)
    settings.COMPARE_EVERY_SECONDS = 0
    compare_due(at=AT)

    assert asked() == []


def test_tables_take_turns(cast, loaded, settings):
    with committed():
        for name in ("driver_weekly", "driver_yearly"):
            materialize(make_version(cast, text=VIEW.replace("driver_hourly", name)))

    for count in (1, 2, 3, 3):
        compare_due(at=AT)
        assert len(asked()) == count
    settings.COMPARE_EVERY_SECONDS = settings.SWEEP_EVERY_SECONDS
    perform_all(AT)
    compare_due(at=AT + HOUR)
    assert len(asked()) == 3


def test_a_table_that_differs_is_compared_wholly_until_it_is_equal(loaded):
    key = b"r%s{4711}" % loaded.table.uid.encode()
    get_redis().set(key, b"no row")
    compare_due(at=AT)
    with committed():
        perform_all(AT)
    assert asked("different") == [("driver_hourly", 1000)]

    compare_due(at=AT + HOUR)
    assert asked() == [("driver_hourly", None)]
    get_redis().delete(key)
    with committed():
        perform_all(AT + HOUR)
    compare_due(at=AT + 2 * HOUR)
    assert asked() == [("driver_hourly", 1000)]


def test_a_table_that_differs_from_its_source_is_compared_by_samples_as_before(loaded, sources):
    write_rows(sources, [*ROWS, (1001, AT - HOUR, AT - HOUR, 0.5, 12)])
    where = whereabouts(loaded.spec, loaded.feature_view.project)
    (now,) = find_source(loaded.spec.rows_from, where).parts()
    loaded.table.source_parts.update(identity=now.identity)  # as if a run had read and lost it
    made = request_certificate(
        version=loaded, kind=CertificateKind.SOURCE, sample=None, at=AT, actor=None
    )
    with committed():
        certify(certificate_id=made.pk, worker="w", clock=lambda: AT)
    assert Alert.objects.open().get().code == "source_differs"

    compare_due(at=AT)

    assert asked() == [("driver_hourly", 1000)]


def test_certificates_are_kept_for_a_time(loaded):
    for days, status in ((8, "equal"), (6, "equal"), (8, "different"), (91, "different")):
        Certificate.objects.create(
            table=loaded.table, version=loaded, kind="online", status=status,
            requested_at=AT - timedelta(days=days), enqueued_at=AT,
        )  # fmt: skip

    requeue_certificates(at=AT)

    left = Certificate.objects.values_list("status", "requested_at")
    assert {(status, (AT - at).days) for status, at in left} == {("equal", 6), ("different", 8)}


# --- who died -----------------------------------------------------------------------------------


def test_what_a_worker_died_over_is_tried_again_and_given_up_after_three(loaded):
    made = request_certificate(version=loaded, sample=None, at=AT, actor=None)
    at = AT
    for attempt in (1, 2, 3):
        first = claim(made.pk, worker="w", at=at)
        assert (first.attempt, claim(made.pk, worker="x", at=at)) == (attempt, None)
        requeue_certificates(at=at + 59 * SECOND)
        assert asked() == []
        at += 61 * SECOND
        requeue_certificates(at=at)
        assert not first.owned().update(compared=1)

    made.refresh_from_db()
    assert (made.status, made.error_code) == ("failed", "worker_died")


def killed_when_repaired(version, at):
    """A clock whose reader dies as soon as the row that was harmed is right again."""
    right = decoded(version, 1001)
    a_byte_is_changed(version)

    def clock():
        if decoded(version, 1001) == right:
            raise Killed
        return at

    return clock


def test_what_was_put_right_is_told_though_its_worker_died(loaded):
    made = request_certificate(version=loaded, sample=None, repair=True, at=AT, actor=None)
    with pytest.raises(Killed):
        certify(certificate_id=made.pk, worker="w", clock=killed_when_repaired(loaded, AT))

    requeue_certificates(at=AT + 61 * SECOND)
    with committed():
        perform_all(AT + 62 * SECOND)

    made.refresh_from_db()
    assert (made.attempt, made.status, made.repaired) == (2, "equal", 1)
    assert [each["key"] for each in made.examples] == ["driver_id=1001"]
    assert verbs_of(made) == ["requested", "repaired"]


def test_what_was_put_right_stands_in_the_trail_though_all_workers_died(loaded):
    made = request_certificate(version=loaded, sample=None, repair=True, at=AT, actor=None)
    Certificate.objects.filter(pk=made.pk).update(attempt=2)
    with pytest.raises(Killed):
        certify(certificate_id=made.pk, worker="w", clock=killed_when_repaired(loaded, AT))

    with committed():
        requeue_certificates(at=AT + 61 * SECOND)

    made.refresh_from_db()
    assert (made.status, made.error_code, made.repaired) == ("failed", "worker_died", 1)
    assert made.finished_at == AT + 61 * SECOND
    assert verbs_of(made) == ["requested", "repaired"]


# --- who may ask --------------------------------------------------------------------------------


def test_who_asks_while_one_is_under_way_gets_it_if_it_does_as_much(loaded, cast):
    small = request_certificate(version=loaded, sample=10, at=AT, actor=None)

    assert request_certificate(version=loaded, sample=5, at=AT, actor=cast.operator) == small
    for more in ({"sample": 11}, {"sample": None}, {"sample": 5, "repair": True}):
        with pytest.raises(ComparisonInProgress, match="looks at less"):
            request_certificate(version=loaded, at=AT, actor=None, **more)
    with pytest.raises(ActionNotPermitted):
        request_certificate(version=loaded, sample=5, at=AT, actor=cast.consumer)


def test_what_cannot_be_compared_is_refused(version, cast):
    for sample in (0, -1, 1_000_001):
        with pytest.raises(BadSample):
            request_certificate(version=version, sample=sample, at=AT, actor=None)
    with pytest.raises(NotComparable, match="not loaded yet"):
        request_certificate(version=version, sample=1, at=AT, actor=None)


# --- rebuilding ---------------------------------------------------------------------------------


def test_a_total_loss_is_made_good_from_the_offline_store(cast, loaded, capsys):
    with committed():
        other = make_version(cast, text=VIEW.replace("driver_hourly", "driver_daily"))
        materialize(other)
    versions = [loaded, fresh(other)]
    before = [online(each, DRIVERS, at=AT) for each in versions]
    get_redis().flushall()
    for each in versions:
        with pytest.raises(Unavailable, match="not loaded"):
            online(each, DRIVERS, at=AT)

    with committed():
        call_command("rebuild_online", "--view", "driver_daily", "--processes", "1")
    assert online(versions[1], DRIVERS, at=AT) == before[1]
    with pytest.raises(Unavailable, match="not loaded"):
        online(loaded, DRIVERS, at=AT)
    with committed():
        call_command("rebuild_online", "--processes", "1")
        call_command("rebuild_online", "--processes", "1")

    assert [online(each, DRIVERS, at=AT) for each in versions] == before
    assert MaterializationRun.objects.filter(kind="reload", status="succeeded").count() == 2
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "1 tables are not loaded."
    assert out[1] == "driver_daily@1.0.0: 3 entities; 0 left"
    assert out[-1] == "0 tables are not loaded."


def test_the_source_is_compared_when_it_is_due_its_latest_days_and_wholly_once_it_differed(
    loaded, settings
):
    compare_sources_due(at=AT)
    assert not Certificate.objects.exists()
    settings.COMPARE_SOURCE_EVERY_SECONDS = 86_400
    settings.COMPARE_SOURCE_DAYS = 2

    for after in (0, 1, 23.9, 24):
        compare_sources_due(at=AT + after * HOUR)
        perform_all(AT + after * HOUR)

    found = Certificate.objects.order_by("id").values_list("kind", "status", "since")
    assert list(found) == [("source", "equal", AT - 48 * HOUR)] * 2
    Alert.objects.create(
        kind="inconsistent", severity="critical", subject="x", version=loaded, words="x",
        code="source_differs", opened_at=AT, last_seen_at=AT,
    )  # fmt: skip
    compare_sources_due(at=AT + 48 * HOUR)
    assert Certificate.objects.get(status="queued").since is None
    with pytest.raises(ComparisonInProgress):  # not taken for one of all, which it is
        _narrow_then_wide(loaded)


def _narrow_then_wide(version) -> None:
    Certificate.objects.filter(status="queued").update(since=AT)
    request_certificate(
        version=version, kind=CertificateKind.SOURCE, sample=None, at=AT, actor=None
    )


# --- what a monitor is told ---------------------------------------------------------------------


def test_a_monitor_is_told_what_the_last_comparison_found_and_how_old_it_is(loaded):
    def told():
        return {
            (each.labels["kind"], each.labels.get("found", "age")): each.value
            for each in figures(at=AT + HOUR)
            if each.name.startswith("assay_certificate_")
        }

    assert told() == {}
    common = {"table": loaded.table, "version": loaded, "requested_at": AT, "enqueued_at": AT}
    for status, ended, missing in (
        ("equal", AT - HOUR, 0), ("different", AT, 2), ("failed", AT + HOUR, 7), ("queued", None, 0)
    ):  # fmt: skip
        Certificate.objects.create(
            kind="online", status=status, finished_at=ended, compared=9, missing=missing, **common
        )

    found = told()

    assert found["online", "age"] == 3600
    assert (found["online", "compared"], found["online", "equal"]) == (9, 7)
    assert (found["online", "missing"], found["online", "extra"]) == (2, 0)
    assert {kind for kind, _ in found} == {"online"}
