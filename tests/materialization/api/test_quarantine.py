"""Quarantine over HTTP: who sees rows, who may decide, what is refused, what trace it leaves."""

from __future__ import annotations

import pytest

from materialization.models import MaterializationRun, Quarantine
from materialization.standing import figures
from registry.models import AuditEntry
from tests.factories import AT, DEFINITIONS, make_version
from tests.materialization.api.test_runs import EVERYBODY, call, refusal
from tests.materialization.run_world import HOUR, ROWS, committed, materialize, write_rows
from tests.undoing import walk

pytestmark = pytest.mark.django_db
__all__ = ["call"]
#: Who may approve the view, and of those who wrote nothing of it.
MAY = {"steward", "owner", "superuser"}
READERS = {"consumer", "author", "owner", "superuser"}
WHY = {"reason": "seen and right"}


@pytest.fixture
def held(cast, sources) -> Quarantine:
    write_rows(sources, ROWS)
    checked = DEFINITIONS.replace("type: int32,", "type: int32, checks: {max: 15},")
    with committed():
        version = make_version(cast, text=checked)
    return Quarantine.objects.get(run=materialize(version))


@walk("who", EVERYBODY)
def test_who_sees_what_is_held_and_its_rows(call, held, who):
    response = call(who, "get", f"runs/{held.run_id}/quarantine")

    allowed = who not in ("anonymous", "outsider")
    assert response.status_code == (200 if allowed else refusal(who))
    if allowed:
        shown = response.json()
        assert (shown["state"], shown["rows"], shown["rows_shown"]) == ("held", 4, who in READERS)
        keys = [row["keys"]["driver_id"] for row in shown["results"]]
        assert sorted(keys) == ([1002, 1003] if who in READERS else [])
        assert ("example" in shown["checks"][0]) == (who in READERS)
        assert call(who, "get", f"runs/{held.run_id}").json()["quarantine"] == "held"


@walk("who", EVERYBODY)
def test_who_saw_rows_is_in_the_trail(call, held, who):
    path = f"runs/{held.run_id}/quarantine?limit=1"
    after = call(who, "get", path).json().get("next")
    if after:
        call(who, "get", f"{path}&cursor={after}")

    found = AuditEntry.objects.filter(verb="quarantine.read").order_by("id")

    pages = [{"run": held.run_id, "rows": 1, "after": place} for place in (None, [0, 2])]
    assert [(each.actor_name, each.data) for each in found] == (
        [(who, page) for page in pages] if who in READERS else []
    )
    assert all(each.project_name == "rides" for each in found)


def test_rows_come_in_pages(call, held):
    path = f"runs/{held.run_id}/quarantine"

    first = call("owner", "get", f"{path}?limit=1").json()
    second = call("owner", "get", f"{path}?limit=1&cursor={first['next']}").json()

    assert (len(first["results"]), len(second["results"]), second["next"]) == (1, 1, None)
    assert first["results"] != second["results"]
    for wrong in (
        "limit=0", "limit=501", "limit=x", "limit=00000000110000000", f"limit={'1' * 4301}",
        "cursor=1", "cursor=-1:2", "offset=3",
    ):  # fmt: skip
        assert call("owner", "get", f"{path}?{wrong}").status_code == 422, wrong


def test_a_page_after_what_is_over_is_no_empty_end(call, held):
    path = f"runs/{held.run_id}/quarantine?limit=1"
    first = call("owner", "get", path).json()
    Quarantine.objects.filter(pk=held.pk).update(state="superseded", ended_by=held.run_id)

    second = call("owner", "get", f"{path}&cursor={first['next']}")

    assert second.status_code == 409
    said = second.json()
    assert (said["code"], said["state"], said["ended_by"]) == (
        "quarantine_over",
        "superseded",
        held.run_id,
    )
    assert call("owner", "get", path).json()["results"] == []  # asked anew, it says what it is


@pytest.mark.parametrize("what", ["release", "discard"])
@walk("who", EVERYBODY)
def test_who_may_decide(call, held, who, what):
    response = call(who, "post", f"runs/{held.run_id}/quarantine/{what}", WHY)

    held.refresh_from_db()
    done = {"release": (202, "releasing"), "discard": (200, "discarded")}[what]
    assert response.status_code == (done[0] if who in MAY else refusal(who))
    assert held.state == (done[1] if who in MAY else "held")
    entries = AuditEntry.objects.filter(verb__startswith="quarantine.")
    assert [each.actor_name for each in entries] == ([who] if who in MAY else [])
    if who in MAY:
        assert (entries[0].data["reason"], entries[0].project_name) == (WHY["reason"], "rides")
        again = call(who, "post", f"runs/{held.run_id}/quarantine/discard", WHY)
        assert (again.status_code, again.json()["code"]) == (409, "quarantine_over")
    if who in MAY and what == "release":
        run = MaterializationRun.objects.get(pk=response.json()["id"])
        assert (run.kind, run.requested_by.get_username()) == ("release", who)


def test_who_wrote_the_version_does_not_release_what_its_checks_refused(call, cast, held):
    held.run.version.editors.create(user=cast.steward, first_at=AT)

    response = call("steward", "post", f"runs/{held.run_id}/quarantine/release", WHY)

    assert (response.status_code, response.json()["code"]) == (403, "editor_may_not_decide")
    assert call("steward", "post", f"runs/{held.run_id}/quarantine/discard", WHY).status_code == 200


@pytest.mark.parametrize("body", [{}, {"reason": " "}, {"reason": 7}, {"reason": "x" * 2001}])
@pytest.mark.parametrize("what", ["release", "discard"])
def test_without_a_reason_nothing_is_decided(call, held, what, body):
    response = call("steward", "post", f"runs/{held.run_id}/quarantine/{what}", body)

    assert response.status_code == 422
    assert not MaterializationRun.objects.filter(kind="release").exists()


def test_a_run_without_a_quarantine_has_none(call, held):
    assert call("owner", "get", "runs/999999/quarantine").json()["code"] == "quarantine_not_found"


def test_what_is_over_lists_no_rows_and_says_by_which_run(call, held):
    newer = materialize(held.run.version, end=AT + HOUR, at=AT + HOUR)

    shown = call("owner", "get", f"runs/{held.run_id}/quarantine").json()

    assert (shown["state"], shown["ended_by"], shown["results"]) == ("superseded", newer.pk, [])


def test_a_version_says_what_warned_and_what_waits_for_a_decision(call, cast, held, sources):
    path = "feature-views/driver_hourly/versions/1.0.0"

    said = call("auditor", "get", path).json()["checks"]

    assert said == {"run": None, "warnings": [], "quarantine": held.run_id}
    found = {(each.name, each.labels.get("feature_view")): each.value for each in figures(at=AT)}
    assert found["assay_quarantine_rows", "driver_hourly"] == 4
    assert found["assay_quarantine_bytes", "driver_hourly"] == held.size_bytes
