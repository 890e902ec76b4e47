"""Old profiles become fewer: of days, then of months, and say what their runs' would together."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from materialization.choices import RunKind, RunStatus
from materialization.models import MaterializationRun, ProfileSpan
from materialization.quality.distributions import marks_of
from materialization.quality.drift import kolmogorov_smirnov
from materialization.quality.history import history_of
from materialization.quality.profiles import Profile
from materialization.requests import profile_keeping
from materialization.requests.baselines import record_baselines
from materialization.requests.profile_keeping import merge_old_profiles
from tests.factories import AT, make_ready, make_version
from tests.materialization.quality.test_drift import profile

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
NAMES = ("conv_rate", "acc_rate", "avg_daily_trips")


@pytest.fixture
def version(cast):
    return make_ready(make_version(cast), at=AT - 200 * DAY)


def add_run(version, *, ended, values, status=RunStatus.SUCCEEDED):
    said = profile(values).to_json()
    columns = [said["columns"][0] | {"name": name} for name in NAMES]
    for column in columns[2:]:
        column |= {"min": int(column["min"]), "max": int(column["max"])}
    return MaterializationRun.objects.create(
        version=version,
        table=version.table,
        kind=RunKind.INCREMENTAL,
        status=status,
        window_end=ended,
        requested_at=ended,
        enqueued_at=ended,
        finished_at=ended,
        rows_offline=len(values) if status == RunStatus.SUCCEEDED else 0,
        profile=said | {"columns": columns, "seconds": {}},
        has_profile=True,
    )


def days():
    return [(span.span, span.starts_on, span.runs) for span in ProfileSpan.objects.all()]


def test_runs_become_days_and_days_months_and_nothing_is_lost(version):
    random = np.random.default_rng(3)
    hours = [(AT - 140 * DAY + n * DAY / 4, random.normal(n / 100, 1, 50)) for n in range(4 * 140)]
    for ended, values in hours:
        add_run(version, ended=ended, values=values.tolist())
    add_run(version, ended=AT - 20 * DAY, values=[1e9], status=RunStatus.FAILED)

    for _ in range(5):
        merge_old_profiles(at=AT)

    kept = MaterializationRun.objects.filter(has_profile=True)
    assert kept.count() == 4 * 7 + 2
    assert min(run.finished_at for run in kept).date() == (AT - 7 * DAY).date()
    spans = list(ProfileSpan.objects.all())
    assert {span.span for span in spans} == {"day", "month"}
    assert sum(span.runs for span in spans) == len(hours) - kept.count()
    old = [value for ended, values in hours for value in values if ended.date() < date(2026, 2, 22)]
    features = version.spec.features
    columns = [Profile.from_json(span.profile, features).columns[0] for span in spans]
    assert sum(column.rows for column in columns) == len(old)
    assert max(column.maximum for column in columns) == max(old)
    last = next(span for span in reversed(spans) if span.span == "month")
    [wanted] = [
        [v for ended, values in hours for v in values if ended.strftime("%Y-%m") == month]
        for month in [f"{last.starts_on:%Y-%m}"]
    ]
    [column] = Profile.from_json(last.profile, features).columns[:1]
    assert column.mean == pytest.approx(np.mean(wanted))
    assert kolmogorov_smirnov(column.marks, marks_of(np.sort(wanted))) <= 0.02
    merged = MaterializationRun.objects.filter(has_profile=False, status=RunStatus.SUCCEEDED)
    assert "columns" not in merged.last().profile
    assert merged.first().profile["merged_into"] == "2026-02-21"
    history = history_of(version)
    assert len(history.points) == 30
    assert len(history.spans) == 60
    record_baselines(at=AT)
    [baseline] = version.baselines.all()
    # As of its approval, which was today.
    assert (baseline.runs, baseline.rows) == (len(hours), 50 * len(hours))


def test_the_latest_profile_of_a_table_stays_however_old(version):
    for ended in (AT - 50 * DAY, AT - 40 * DAY):
        latest = add_run(version, ended=ended, values=[1.0, 2.0])

    merge_old_profiles(at=AT)

    assert MaterializationRun.objects.get(has_profile=True) == latest
    assert days() == [("day", (AT - 50 * DAY).date(), 1)]


def test_a_day_that_is_met_in_parts_is_one_in_the_end(version, monkeypatch):
    monkeypatch.setattr(profile_keeping, "RUNS_AT_ONCE", 3)
    for hour in range(8):
        add_run(version, ended=AT - 20 * DAY + timedelta(hours=hour), values=[float(hour)] * 9)

    for expected in (3, 6, 7, 7):
        merge_old_profiles(at=AT)
        assert days() == [("day", (AT - 20 * DAY).date(), expected)]
    [span] = ProfileSpan.objects.all()
    assert (span.rows, span.profile["columns"][0]["max"]) == (63, 6.0)
