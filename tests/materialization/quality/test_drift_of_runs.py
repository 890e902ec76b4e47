"""Runs whose values drift: baselines, checks, one alert from the first that drifts to one back."""

from __future__ import annotations

import numpy as np
import pytest

from lib.errors import Forbidden
from materialization import standing
from materialization.choices import RunStatus
from materialization.models import Alert, Baseline
from materialization.quality.alerts.drift import alert_of_drift
from materialization.requests.baselines import (
    NoSuchRuns,
    ReasonMissing,
    record_baselines,
    set_baseline,
)
from registry.models import AuditEntry
from tests.factories import AT, DEFINITIONS, make_version
from tests.materialization.run_world import HOUR, committed, materialize, write_rows

pytestmark = pytest.mark.django_db
USUAL, OTHER = 0.5, 0.9
PLAIN = "{name: conv_rate, type: float32, description: Conversion rate"
#: Enough that the rows of one hour are compared.
HOURLY = 60


def asking(drift, *, text=DEFINITIONS):
    return text.replace(PLAIN, f"{PLAIN}, checks: {{drift: {{{drift}, min_rows: 50}}}}")


class World:
    """A source that grows by an hour at a time, and what its runs say."""

    def __init__(self, cast, folder, drift):
        self.cast, self.folder, self.rows, self.hour = cast, folder, [], 0
        self.random = np.random.default_rng(5)
        self.grow(USUAL, 200)
        with committed():
            self.version = make_version(cast, text=asking(drift))

    def grow(self, mean, count=HOURLY):
        """Add rows of the hour that ends now; some have no rate."""
        end = AT + self.hour * HOUR
        for number, rate in enumerate(self.random.normal(mean, 0.1, count)):
            event = end - HOUR * (number + 1) / (count + 1)
            self.rows.append((number, event, event, None if number % 10 == 0 else rate, number))
        write_rows(self.folder, self.rows)

    def run(self, mean=None, count=HOURLY):
        if mean is not None:
            self.hour += 1
            self.grow(mean, count)
        at = AT + self.hour * HOUR
        with committed():
            run = materialize(self.version, end=at)
            record_baselines(at=at)
        return run

    @property
    def alert(self):
        return Alert.objects.filter(kind="drifted").first()


@pytest.fixture
def world(cast, sources):
    made = World(cast, sources, "psi: 1, ks: 0.3, null_share: 0.2, mean: 1")
    made.run()
    return made


def failed(run):
    return [check["check"] for check in run.checks if not check["passed"]]


def test_the_first_data_of_an_approved_version_are_its_baseline(world):
    record_baselines(at=AT + HOUR)

    [baseline] = Baseline.objects.all()
    assert (baseline.version, baseline.rows, baseline.set_by) == (world.version, 200, None)
    assert baseline.set_at == AT
    [entry] = AuditEntry.objects.filter(verb="baseline.recorded")
    assert entry.actor is None


def test_drift_opens_one_alert_that_closes_when_a_run_is_back(world):
    assert failed(world.run(USUAL)) == []
    assert world.alert is None

    drifted = world.run(OTHER)

    assert drifted.status == RunStatus.SUCCEEDED  # it warns
    assert failed(drifted) == ["drift psi", "drift ks", "drift mean"]
    first = world.alert
    assert (first.subject, first.code, first.run, first.count) == (
        "driver_hourly@1.0.0", "drifted", drifted, 1,
    )  # fmt: skip
    lines = first.words.splitlines()
    assert lines[0] == f"run {drifted.pk}: 3 checks of drift fail, the furthest first:"
    assert [line.partition(" fails")[0] for line in lines[1:]] == [
        "- conv_rate: drift psi", "- conv_rate: drift mean", "- conv_rate: drift ks",
    ]  # fmt: skip
    assert "(asked: at most 0.3)" in first.words
    figures = drifted.drift["baseline"]["conv_rate"]
    assert figures["ks"] > 0.8
    assert figures["mean"] == pytest.approx(4, abs=0.5)
    assert "previous" in drifted.drift
    found = {
        (each.labels["against"], each.labels["measure"]): each.value
        for each in standing.figures(at=AT)
        if each.name == "assay_drift" and each.labels["feature"] == "conv_rate"
    }
    assert found["baseline", "ks"] == figures["ks"]
    assert len(found) == 8
    world.run(OTHER)
    assert world.alert.pk == first.pk
    assert world.alert.count == 2
    world.run(USUAL)
    assert world.alert.closed_at is not None


def test_few_rows_are_not_judged_and_this_is_said(world):
    world.run(OTHER)

    few = world.run(USUAL, count=20)

    [said] = [check for check in few.checks if check["check"] == "drift"]
    assert said["passed"]
    assert said["observed"] == (
        "psi, ks, null_share, mean not measured, of fewer than 50 rows on a side"
    )
    assert world.alert.closed_at is None


def test_a_run_that_drifts_can_be_stopped(cast, sources):
    world = World(cast, sources, "ks: 0.3, severity: block")
    world.run()

    drifted = world.run(OTHER)

    assert (drifted.status, drifted.error_code) == (RunStatus.FAILED, "checks_failed")
    assert "conv_rate: drift ks fails, 0." in drifted.error
    assert drifted.rows_offline == 0
    assert [alert.kind for alert in Alert.objects.open()] == ["blocked"]


def test_against_the_run_before_a_lasting_change_is_told_once(cast, sources):
    world = World(cast, sources, "ks: 0.3, against: previous")
    world.run()

    assert failed(world.run(OTHER)) == ["drift ks"]
    assert failed(world.run(OTHER)) == []
    assert world.alert.closed_at is not None


def test_versions_of_one_table_are_judged_each_by_its_own_baseline(world, cast):
    with committed():
        stricter = asking("psi: 1, ks: 0.25").replace("owner: rides", "owner: trips")
        second = make_version(cast, text=stricter)
    assert second.table_id == world.version.table_id
    record_baselines(at=AT + HOUR)
    assert second.baselines.count() == 1

    world.run(OTHER)

    subjects = {alert.subject for alert in Alert.objects.open().filter(kind="drifted")}
    assert subjects == {str(world.version), str(second)}


def test_a_steward_says_which_rows_are_right_now(world, cast):
    drifted = world.run(OTHER)
    asked = {"version": world.version, "first_run": drifted.pk, "last_run": drifted.pk}

    for reason, error in (("  ", ReasonMissing), ("new prices", NoSuchRuns)):
        runs = {} if error is ReasonMissing else {"first_run": 10**9, "last_run": 10**9}
        with pytest.raises(error):
            set_baseline(**{**asked, **runs}, reason=reason, actor=cast.steward, at=AT)
    for who in (cast.author, cast.operator, cast.consumer):
        with pytest.raises(Forbidden):
            set_baseline(**asked, reason="new prices", actor=who, at=AT)
    baseline = set_baseline(**asked, reason="new prices", actor=cast.steward, at=AT)

    assert (baseline.rows, baseline.set_by, baseline.reason) == (60, cast.steward, "new prices")
    [entry] = AuditEntry.objects.filter(verb="baseline.set")
    assert entry.after == {"runs": [drifted.pk] * 2, "rows": 60, "reason": "new prices"} or (
        entry.data == {"runs": [drifted.pk] * 2, "rows": 60, "reason": "new prices"}
    )
    assert failed(world.run(OTHER)) == []
    assert world.alert.closed_at is not None


def test_an_alert_quotes_the_five_checks_that_fail_most_and_counts_the_rest(world):
    drifted = world.run(OTHER)
    failed = next(check for check in drifted.checks if check["check"] == "drift ks")
    for number in range(6):
        name = f"other_{number}"
        drifted.checks.append({**failed, "feature": name, "message": f"{name} fails"})

    alert_of_drift(drifted, None, AT)

    *said, last = world.alert.words.splitlines()
    assert (len(said), last) == (6, "and 4 more: the run has them all")
