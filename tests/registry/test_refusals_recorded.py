"""What is refused leaves a trace at every door, and a flood of it leaves a handful."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from registry.models import AuditEntry
from registry.trail.deeds import deed_of
from registry.trail.excess import record_excess
from tests.factories import make_project

pytestmark = pytest.mark.django_db
TRAIL = "/api/v1/projects/rides/audit"


def told(verb):
    """Return who, in which project, and how the entry reads, of each entry of a verb."""
    entries = AuditEntry.objects.named().filter(verb__startswith=verb).order_by("pk")
    return [(each.actor_name, each.project_name, deed_of(each)) for each in entries]


def later():
    return timezone.now() + timedelta(minutes=30)


def test_four_hundred_refusals_of_one_caller_are_a_handful_of_entries(api, cast):
    client = api(cast.consumer)
    before = AuditEntry.objects.count()

    statuses = {client.get(TRAIL).status_code for _ in range(400)}
    record_excess(at=later())

    assert statuses == {403, 429}
    assert AuditEntry.objects.count() - before == 6
    assert told("access.denied_more") == [("consumer", "rides", "was refused 395 more times in")]


def test_an_outsiders_404_is_in_the_trail_of_the_project_and_reads_as_one_that_is_none(api, cast):
    client = api(cast.outsider)

    answers = [client.get(TRAIL) for _ in range(70)]
    nothing = [client.get("/api/v1/projects/none/audit") for _ in range(70)]
    record_excess(at=later())

    assert {each.status_code for each in (*answers, *nothing)} == {404}
    said = {each.json()["detail"].replace("'none'", "'rides'") for each in (*answers, *nothing)}
    assert len(said) == 1
    assert told("access.hidden") == [
        ("outsider", "rides", "asked for what they may not see in"),
        ("outsider", "rides", "asked 69 more times for what they may not see in"),
    ]


def test_a_stranger_is_in_the_trail_with_the_first_call_and_the_number_of_the_others(api, cast):
    client = api(token="assay_unknown")

    for _ in range(9):
        assert client.get(TRAIL).status_code == 401
    record_excess(at=later())

    assert told("access.stranger") == [
        ("anonymous", "", "was not let in from"),
        ("anonymous", "", "was refused 8 more times from"),
    ]
    first = AuditEntry.objects.get(verb="access.stranger")
    assert (first.subject_label, first.data["path"]) == ("127.0.0.1", TRAIL)


def test_strangers_of_very_many_addresses_leave_no_more_than_a_hundred_entries(api, cast):
    client = api(token="assay_unknown")
    for number in range(130):
        client.get(TRAIL, REMOTE_ADDR=f"10.1.0.{number}")
    record_excess(at=later())

    assert len(told("access.stranger")) == 101
    assert told("access.stranger_refused") == [("anonymous", "", "was refused 30 more times from")]


def test_online_reads_that_are_refused_are_in_the_trail(api, cast):
    path = "/api/v1/projects/rides/get-online-features"
    body = {"features": ["x:y"], "entities": {"id": [1]}}

    assert api(cast.outsider).post(path, body, format="json").status_code == 404
    assert api(token="assay_unknown").post(path, body, format="json").status_code == 401

    assert [actor for actor, *_ in told("access.")] == ["outsider", "anonymous"]


@pytest.mark.parametrize(
    ("who", "path"),
    [("steward", "/admin/auth/user/"), ("outsider", "/admin/registry/auditentry/")],
)
def test_a_page_that_is_refused_is_in_the_trail(as_, cast, who, path):
    assert as_(who).get(path).status_code == 403

    [denied] = AuditEntry.objects.named().filter(verb="access.denied")
    assert (denied.actor_name, denied.data["path"]) == (who, path)


def test_a_page_about_what_somebody_may_not_see_is_in_the_trail_of_its_project(as_, cast):
    other = make_project("other", cast.superuser)

    as_("steward").get(f"/admin/registry/project/{other.pk}/change/")

    assert told("access.hidden") == [("steward", "other", "asked for what they may not see in")]


def test_who_logs_out_is_in_the_trail(client, cast):
    form = {"username": "steward", "password": "pw"}
    client.post("/admin/login/", form)
    client.post("/admin/logout/")

    assert told("user.logged") == [
        ("steward", "", "logged in from"), ("steward", "", "logged out from"),
    ]  # fmt: skip


def test_very_many_log_ins_of_one_account_are_one_entry_more(client, cast):
    for _ in range(25):
        client.post("/admin/login/", {"username": "steward", "password": "pw"})
    record_excess(at=later())

    assert len(told("user.logged_in")) == 21
    assert told("user.logged_in_more") == [("steward", "", "logged in 5 more times")]
