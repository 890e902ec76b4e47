"""Alerts over HTTP: who sees them, who may say they know, what is refused, what trace it leaves."""

from __future__ import annotations

import pytest

from materialization.choices import AlertKind
from materialization.models import Alert
from materialization.quality.alerts.opening import (
    About,
    Trouble,
    about_version,
    close_alerts,
    raise_alert,
)
from registry.models import AuditEntry
from tests.factories import AT, make_version
from tests.materialization.api.test_runs import EVERYBODY, MAY, call, refusal
from tests.undoing import walk

pytestmark = pytest.mark.django_db
__all__ = ["call"]


@pytest.fixture
def alert(cast) -> Alert:
    version = make_version(cast)
    return raise_alert(AlertKind.FAILED, about_version(version), Trouble("broke", "x"), at=AT)


@walk("who", EVERYBODY)
def test_who_sees_alerts(call, alert, who):
    response = call(who, "get", "alerts")

    allowed = who not in ("anonymous", "outsider")
    assert response.status_code == (200 if allowed else refusal(who))
    if allowed:
        (shown,) = response.json()["results"]
        assert shown == {
            "id": alert.pk,
            "kind": "failed",
            "severity": "warning",
            "state": "open",
            "subject": "driver_hourly@1.0.0",
            "feature_view": "driver_hourly",
            "version": "1.0.0",
            "run": None,
            "words": "broke",
            "code": "x",
            "count": 1,
            "opened_at": "2026-03-01T12:00:00Z",
            "last_seen_at": "2026-03-01T12:00:00Z",
            "acknowledged_at": None,
            "acknowledged_by": None,
            "closed_at": None,
        }


@walk("who", EVERYBODY)
def test_who_may_acknowledge(call, alert, who):
    response = call(who, "post", f"alerts/{alert.pk}/acknowledge")

    alert.refresh_from_db()
    assert response.status_code == (200 if who in MAY else refusal(who))
    assert alert.state == ("acknowledged" if who in MAY else "open")
    entries = AuditEntry.objects.filter(verb="alert.acknowledged")
    assert [entry.actor_name for entry in entries] == ([who] if who in MAY else [])
    if who in MAY:
        assert response.json()["acknowledged_by"] == who
        assert entries[0].project_name == "rides"
        again = call(who, "post", f"alerts/{alert.pk}/acknowledge")
        assert (again.status_code, again.json()["code"]) == (409, "alert_not_open")


def test_a_closed_one_is_not_acknowledged(call, alert):
    close_alerts(Alert.objects.all(), at=AT)

    response = call("operator", "post", f"alerts/{alert.pk}/acknowledge")

    assert (response.status_code, response.json()["state"]) == (409, "closed")


def test_what_is_about_the_installation_is_for_those_who_run_it(call, cast):
    alert = raise_alert(AlertKind.STORE_NEARLY_FULL, About("online store"), Trouble("x"), at=AT)

    assert call("owner", "get", "alerts").json()["count"] == 0
    assert call("owner", "post", f"alerts/{alert.pk}/acknowledge").status_code == 404
    assert call("superuser", "get", "alerts").json()["count"] == 1
    assert call("superuser", "post", f"alerts/{alert.pk}/acknowledge").status_code == 200


def test_another_project_does_not_show(call, cast, alert):
    from registry.operations.people import projects

    other = projects.create_project(name="other", actor=cast.outsider, at=AT)
    Alert.objects.update(project=other)

    assert call("owner", "get", "alerts").json()["count"] == 0
    assert call("owner", "post", f"alerts/{alert.pk}/acknowledge").json()["code"] == (
        "alert_not_found"
    )


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("state=open", 1),
        ("state=acknowledged", 0),
        ("state=closed", 0),
        ("kind=failed&severity=warning", 1),
        ("kind=overdue", 0),
        ("severity=critical", 0),
    ],
)
def test_they_are_found_by_state_kind_and_severity(call, alert, query, count):
    assert call("consumer", "get", f"alerts?{query}").json()["count"] == count


@pytest.mark.parametrize("query", ["state=opened", "kind=%00", "severity=bad", "colour=red"])
def test_a_filter_that_no_alert_could_pass_is_refused(call, alert, query):
    assert call("consumer", "get", f"alerts?{query}").status_code == 422
