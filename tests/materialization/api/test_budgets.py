"""Budgets over HTTP: who sees one, who may set it, what stays and what is refused."""

from __future__ import annotations

import pytest

from materialization.models import TableSize, ViewBudget
from registry.models import AuditEntry, FeatureTable
from tests.materialization.api.test_runs import EVERYBODY, call, refusal
from tests.materialization.run_world import AT
from tests.undoing import walk

pytestmark = pytest.mark.django_db
__all__ = ["call"]
BUDGET = "feature-views/driver_hourly/budget"
DECIDERS = {"steward", "owner", "superuser"}


@walk("who", sorted({*EVERYBODY, *DECIDERS}))
def test_who_may_set_a_budget_over_http_and_who_may_see_it(call, version, who):
    response = call(who, "post", BUDGET, {"disk_mb": 50, "reason": "a small disk"})

    assert response.status_code == (200 if who in DECIDERS else refusal(who))
    assert ViewBudget.objects.exists() == (who in DECIDERS)
    trail = AuditEntry.objects.filter(verb="budget.changed")
    assert [entry.actor.username for entry in trail] == ([who] if who in DECIDERS else [])
    seen = call(who, "get", BUDGET)
    assert seen.status_code == (200 if who not in ("anonymous", "outsider") else refusal(who))
    if who in DECIDERS:
        assert seen.json() == response.json()
        assert (seen.json()["set_by"], seen.json()["reason"]) == (who, "a small disk")


def test_what_is_left_out_stays_and_null_is_what_the_settings_say(call, version, settings):
    FeatureTable.objects.filter(pk=version.table_id).update(stored_version=1)
    TableSize.objects.create(
        table=version.table, day=AT.date(), offline_bytes=40 << 20, online_keys=7, online_bytes=90
    )
    settings.VIEW_ONLINE_KEYS = 10
    call("owner", "post", BUDGET, {"disk_mb": 50, "online_keys": 0, "reason": "a small disk"})

    answer = call("owner", "post", BUDGET, {"online_keys": None, "reason": "as all"}).json()

    assert answer["limits"] == {"disk_mb": 50, "online_keys": None, "memory_mb": None}
    assert [(use["of"], use["used"], use["budget"], use["percent"]) for use in answer["uses"]] == [
        ("disk", 40 << 20, 50 << 20, 80), ("keys", 7, 10, 70), ("memory", 90, 0, None),
    ]  # fmt: skip
    entry = AuditEntry.objects.filter(verb="budget.changed").latest("id")
    assert (entry.before["online_keys"], entry.after["online_keys"]) == (0, None)
    assert (entry.after["disk_mb"], entry.data) == (50, {"reason": "as all"})


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"disk_mb": 5}, 422, "invalid_budget"),
        ({"disk_mb": -1, "reason": "x"}, 422, "invalid_budget"),
        ({"disk_mb": 10**13, "reason": "x"}, 422, "invalid_budget"),
        ({"disk_mb": "5", "reason": "x"}, 422, "invalid_body"),
        ({"disk_mb": True, "reason": "x"}, 422, "invalid_body"),
        ({"disk_mb": 5.5, "reason": "x"}, 422, "invalid_body"),
        ({"disk_kb": 5, "reason": "x"}, 422, "invalid_body"),
        ({"disk_mb": 5, "reason": ["x"]}, 422, "invalid_budget"),
        ({"reason": "nothing asked"}, 422, "invalid_budget"),
    ],
)
def test_what_is_no_budget_is_refused_in_words(call, version, body, status, code):
    response = call("owner", "post", BUDGET, body)

    assert (response.status_code, response.json()["code"]) == (status, code)
    assert not ViewBudget.objects.exists()


def test_a_view_that_is_not_there_has_no_budget(call, version):
    response = call("owner", "get", "feature-views/driver_hourli/budget")

    assert (response.status_code, "driver_hourly" in response.json()["detail"]) == (404, True)


@pytest.mark.parametrize("path", ["budget", "versions/1.0.0/backfill"])
def test_a_name_that_no_view_can_have_is_of_none(call, version, path):
    response = call("owner", "get" if path == "budget" else "post", f"feature-views/a%00/{path}")

    assert response.status_code == 404
    assert "no feature view" in response.json()["detail"]
