"""Alerts in the admin: who sees which, open ones first, who has the button, the first page."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from materialization.choices import AlertKind
from materialization.models import Alert
from materialization.quality.alerts.opening import (
    About,
    Trouble,
    about_version,
    close_alert,
    raise_alert,
)
from registry.models import AuditEntry
from tests.factories import AT, DEFINITIONS, make_version
from tests.materialization.run_world import ROWS, committed, materialize, write_rows
from tests.undoing import walk

pytestmark = pytest.mark.django_db
LIST = reverse("admin:materialization_alert_changelist")
MAY = ("operator", "steward", "author", "owner", "superuser")


@pytest.fixture
def alert(version) -> Alert:
    about = about_version(version)
    return raise_alert(AlertKind.FAILED, about, Trouble("it broke", "x"), at=AT)


def page_of(alert: Alert, name: str = "change") -> str:
    return reverse(f"admin:materialization_alert_{name}", args=[alert.pk])


def test_open_ones_come_first_and_each_is_filtered_by_its_state(as_, cast, alert):
    gone = About("old", cast.project)
    raise_alert(AlertKind.OVERDUE, gone, Trouble("was late"), at=AT + timedelta(hours=1))
    close_alert(AlertKind.OVERDUE, gone, at=AT + timedelta(hours=2))

    page = as_("consumer").get(LIST).text

    assert page.index("it broke") < page.index("was late")
    assert "was late" not in as_("consumer").get(f"{LIST}?state=open").text
    assert "it broke" not in as_("consumer").get(f"{LIST}?state=closed").text


@walk("who", [*MAY, "consumer", "auditor"])
def test_who_has_the_button_and_may_press_it(as_, alert, who):
    client = as_(who)

    offered = "I know of it" in client.get(page_of(alert)).text
    client.post(page_of(alert, "acknowledge"))

    alert.refresh_from_db()
    assert offered == (alert.state == "acknowledged") == (who in MAY)
    entries = AuditEntry.objects.filter(verb="alert.acknowledged")
    assert entries.count() == (1 if who in MAY else 0)
    assert "I know of it" not in (client.get(page_of(alert)).text if who in MAY else "")


def test_what_is_about_the_installation_is_for_superusers(as_, cast):
    alert = raise_alert(AlertKind.STORE_NEARLY_FULL, About("online store"), Trouble("99 %"), at=AT)

    assert "99 %" not in as_("owner").get(LIST).text
    assert as_("owner").get(page_of(alert)).status_code == 302
    assert as_("owner").post(page_of(alert, "acknowledge")).status_code == 404
    assert "99 %" in as_("superuser").get(LIST).text
    assert "The installation" in as_("superuser").get(page_of(alert)).text
    assert as_("superuser").post(page_of(alert, "acknowledge")).status_code == 302
    alert.refresh_from_db()
    assert alert.state == "acknowledged"


def test_an_outsider_sees_none(as_, alert):
    assert "it broke" not in as_("outsider").get(LIST).text
    assert as_("outsider").get(page_of(alert)).status_code == 302
    assert as_("outsider").post(page_of(alert, "acknowledge")).status_code == 404


def test_the_first_page_says_what_is_wrong_and_nothing_while_nothing_is(as_, version):
    assert "What is wrong" not in as_("consumer").get(reverse("admin:index")).text

    raise_alert(AlertKind.BLOCKED, about_version(version), Trouble("refused"), at=AT)

    page = as_("consumer").get(reverse("admin:index")).text
    assert "What is wrong" in page
    assert "refused" in page
    assert "1 critical" in page


def test_a_line_costs_no_query_of_its_own(as_, cast, version, alert):
    client = as_("consumer")

    def queries() -> int:
        with CaptureQueriesContext(connection) as found:
            assert client.get(LIST).status_code == 200
        return len(found)

    one = queries()
    for kind in (AlertKind.DRIFTED, AlertKind.BLOCKED, AlertKind.OVERDUE):
        raise_alert(kind, about_version(version), Trouble("x"), at=AT)
    assert queries() == one


@pytest.mark.parametrize(("promise", "words"), [("2h", "overdue"), ("36500d", "kept")])
def test_pages_and_the_catalogue_say_the_promise_and_the_age(as_, cast, sources, promise, words):
    write_rows(sources, ROWS)
    text = DEFINITIONS.replace("ttl: 2d", f"ttl: 2d\nfreshness: {promise}")
    with committed():
        version = make_version(cast, text=text)
    materialize(version)
    base = "/api/v1/projects/rides/feature-views"

    for obj in (version, version.feature_view):
        name = f"admin:registry_{obj._meta.model_name}_change"
        page = as_("consumer").get(reverse(name, args=[obj.pk])).text
        assert words in page
        assert promise in page
    one = as_("consumer").get(f"{base}/driver_hourly/versions/1.0.0").json()["freshness"]
    assert one["newest_event"] == "2026-03-01T08:00:00Z"
    assert (one["promise"], one["covered_until"]) == (promise, "2026-03-01T12:00:00Z")
    assert one["overdue"] == (words == "overdue")
    assert one["age_seconds"] > 86_400
    view = as_("consumer").get(f"{base}/driver_hourly").json()
    (listed,) = as_("consumer").get(base).json()["results"]
    assert view["freshness"] == promise
    assert view["versions"][0]["freshness"]["overdue"] == one["overdue"]
    assert listed["versions"][0]["freshness"]["covered_until"] == one["covered_until"]
    found = as_("consumer").get("/api/v1/projects/rides/features").json()
    word = "overdue" if one["overdue"] else "in_time"
    assert found["facets"]["freshness"] == [{"value": word, "count": 3}]
