"""What views may take: who says so, what the alert says and when it closes, what a forecast is."""

from __future__ import annotations

from datetime import timedelta

import pytest

from materialization.budgets import uses
from materialization.models import Alert, TableSize, ViewBudget
from materialization.requests import watch
from materialization.requests.budgets import MOST, BadBudget, Limits, set_budget
from materialization.standing import figures
from registry.access import ActionNotPermitted
from registry.models import AuditEntry, FeatureTable
from tests.factories import DEFINITIONS, make_version
from tests.materialization.run_world import AT, committed, table_of

pytestmark = pytest.mark.django_db
MB = 1 << 20
DAY = timedelta(days=1)


@pytest.fixture
def stored(version):
    """A view with 40 MB and 500 keys of 10 kB, and 10 MB less a day before."""
    FeatureTable.objects.filter(pk=version.table_id).update(stored_version=1)
    for ago, disk, keys in ((1, 30 * MB, 400), (0, 40 * MB, 500)):
        measured(version, ago, disk, keys)
    return version


def measured(version, ago: int, disk: int, keys: int | None) -> None:
    TableSize.objects.update_or_create(
        table=table_of(version),
        day=(AT - ago * DAY).date(),
        defaults={
            "offline_bytes": disk, "online_keys": keys, "online_bytes": keys and 10_000 * keys,
        },
    )  # fmt: skip


def told() -> list[tuple[str, str, str]]:
    watch.watch_stores(at=AT)
    alerts = Alert.objects.exclude(project=None).order_by("id")
    return [(alert.subject, alert.severity, alert.state) for alert in alerts]


def limit(cast, version, **limits: int) -> ViewBudget:
    return set_budget(
        view=version.feature_view, limits=Limits(**limits)._asdict(), reason="a small disk",
        actor=cast.steward, at=AT,
    )  # fmt: skip


def test_a_view_near_its_budget_is_told_of_with_the_day_it_lasts_until_it_has_room(cast, stored):
    limit(cast, stored, disk_mb=51)
    assert told() == []

    limit(cast, stored, disk_mb=50, online_keys=499)

    assert told() == [("driver_hourly", "warning", "open")]
    words = Alert.objects.exclude(project=None).get().words
    assert words == (
        "disk: 40.0 MB of 50.0 MB (80 %), the rest lasts 1 day as it grows;"
        " keys: 500 keys of 499 keys (100 %)."
    )
    limit(cast, stored, disk_mb=53)  # 75 %: five percent below
    assert told()[0][2] == "open"
    limit(cast, stored, disk_mb=54)
    assert told()[0][2] == "closed"


def test_the_settings_hold_for_views_without_a_budget_of_their_own(cast, stored, settings):
    settings.VIEW_MEMORY_MB = 5
    assert told() == [("driver_hourly", "warning", "open")]

    limit(cast, stored, memory_mb=0)

    assert told() == [("driver_hourly", "warning", "closed")]
    limit(cast, stored, disk_mb=1000)
    assert [state for *_, state in told()] == ["closed", "open"]


def test_all_tables_of_a_view_count_each_as_it_was_measured_last(cast, stored):
    older = FeatureTable.objects.create(
        feature_view=stored.feature_view, fingerprint="x", stored_version=3, created_at=AT
    )
    for ago, disk, keys in ((90, 7 * MB, 70), (60, 1 * MB, None)):
        day = (AT - ago * DAY).date()
        TableSize.objects.create(
            table=older, day=day, offline_bytes=disk, online_keys=keys, online_bytes=keys
        )
    with committed():
        other = make_version(cast, text=DEFINITIONS.replace("driver_hourly", "driver_daily"))

    found = uses()

    assert set(found) == {stored.feature_view_id}
    assert [use.used for use in found[stored.feature_view_id]] == [41 * MB, 570, 5_000_070]
    assert uses([other.feature_view_id]) == {}


def test_what_was_never_measured_is_not_taken_for_nothing(version, settings):
    settings.VIEW_ONLINE_KEYS = 1
    FeatureTable.objects.filter(pk=version.table_id).update(stored_version=1)
    measured(version, 0, 5, None)

    assert [use.used for use in uses()[version.feature_view_id]] == [5, None, None]
    assert told() == []


@pytest.mark.parametrize(
    ("who", "may"),
    [("owner", True), ("steward", True), ("superuser", True), ("author", False),
     ("operator", False), ("consumer", False), ("auditor", False), ("outsider", False)],
)  # fmt: skip
def test_who_sets_a_budget_stands_in_the_trail(cast, version, who, may):
    asked = {
        "view": version.feature_view,
        "limits": {"online_keys": 5},
        "reason": "why",
        "at": AT,
    }
    if not may:
        with pytest.raises(ActionNotPermitted):
            set_budget(**asked, actor=getattr(cast, who))
        assert not ViewBudget.objects.exists()
        return

    set_budget(**asked, actor=getattr(cast, who))

    entry = AuditEntry.objects.get(verb="budget.changed")
    assert (entry.actor_name, entry.data) == (who, {"reason": "why"})
    assert (entry.before["online_keys"], entry.after["online_keys"]) == (None, 5)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [({"disk_mb": -1}, "x"), ({"online_keys": MOST + 1}, "x"), ({"memory_mb": 5}, " "),
     ({}, "x"), ({"disk_mb": 5}, "x" * 2001), ({"disk_mb": 5}, "a\x00b")],
)  # fmt: skip
def test_a_budget_has_bounds_and_a_reason(cast, version, limits, reason):
    with pytest.raises(BadBudget):
        set_budget(
            view=version.feature_view, limits=limits, reason=reason, actor=cast.steward, at=AT
        )

    assert not ViewBudget.objects.exists()


def test_a_monitor_is_told_what_views_with_a_budget_take(cast, stored):
    def told_to_monitor():
        return {
            (each.name, each.labels["of"]): each.value
            for each in figures(at=AT)
            if each.name.startswith("assay_view_")
        }

    assert told_to_monitor() == {}
    limit(cast, stored, disk_mb=50, online_keys=0)
    assert told_to_monitor() == {
        ("assay_view_budget", "disk"): 50 * MB, ("assay_view_used", "disk"): 40 * MB,
    }  # fmt: skip
