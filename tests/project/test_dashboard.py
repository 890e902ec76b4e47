"""The first page lays out what every app shows, in the order of its urgency."""

from __future__ import annotations

import pytest
from django.urls import reverse
from django.utils import timezone

from materialization.choices import RunStatus
from materialization.models import MaterializationRun, StoredWindow
from registry.choices import State
from tests.factories import VIEW, make_version

pytestmark = pytest.mark.django_db


def tiles(client) -> dict[str, tuple[int, bool]]:
    shown = client.get(reverse("admin:index")).context["tiles"]
    return {tile.title: (tile.value, tile.is_bad) for tile in shown}


def make_run(version, status: RunStatus, kind: str = "incremental") -> MaterializationRun:
    now = timezone.now()
    return MaterializationRun.objects.create(
        version=version,
        table=version.table,
        kind=kind,
        status=status,
        window_end=now,
        requested_at=now,
        enqueued_at=now,
    )


def test_the_figures_of_every_app_stand_in_order_of_urgency(as_, cast):
    version = make_version(cast)
    make_version(cast, state=State.IN_REVIEW, text=VIEW.replace("driver_hourly", "other"))
    make_run(version, RunStatus.RUNNING)

    assert list(tiles(as_("author")).items()) == [
        ("Waiting for review", (1, False)),
        ("Runs under way", (1, False)),
        ("Failed and not repaired", (0, False)),
        ("Feature views served", (0, False)),
    ]


def test_a_failure_is_shown_until_a_later_run_has_stored_its_window(as_, cast):
    version = make_version(cast)
    make_run(version, RunStatus.FAILED)
    assert tiles(as_("author"))["Failed and not repaired"] == (1, True)

    make_run(version, RunStatus.SUCCEEDED, kind="reload")
    assert tiles(as_("author"))["Failed and not repaired"] == (1, True)

    later = make_run(version, RunStatus.SUCCEEDED)
    StoredWindow.objects.create(table=version.table, run=later, window_end=later.window_end)
    assert tiles(as_("author"))["Failed and not repaired"] == (0, False)


@pytest.mark.parametrize(("who", "cards"), [("auditor", 2), ("author", 1)])
def test_only_who_may_read_the_trail_has_its_card(as_, cast, who, cards):
    page = as_(who).get(reverse("admin:index"))

    assert len(page.context["side"]) == cards
    assert ("Latest changes" in page.text) is (cards == 2)


def test_a_person_without_a_project_is_told_how_to_get_into_one(as_, cast):
    page = as_("outsider").get(reverse("admin:index"))

    assert "tiles" not in page.context
    assert "You have no role in any project yet" in page.text
