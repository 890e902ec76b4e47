"""Quarantine in the admin: who sees what, who has the buttons, what warned."""

from __future__ import annotations

import html
import re

import pytest
from django.urls import reverse

from materialization.models import Quarantine
from materialization.queries import warned
from registry.models import AuditEntry
from tests.factories import DEFINITIONS, make_version
from tests.materialization.run_world import ROWS, committed, fresh, materialize, write_rows
from tests.undoing import walk

pytestmark = pytest.mark.django_db
LIST = reverse("admin:materialization_quarantine_changelist")
MAY = ("steward", "owner", "superuser")
READERS = ("consumer", "author", "owner", "superuser")
EVERYBODY = ["steward", "owner", "superuser", "author", "operator", "consumer", "auditor"]


def version_with(cast, sources, checks):
    write_rows(sources, ROWS)
    text = DEFINITIONS.replace("type: int32,", f"type: int32, checks: {checks},")
    with committed():
        return make_version(cast, text=text)


@pytest.fixture
def held(cast, sources) -> Quarantine:
    version = version_with(cast, sources, "{max: 15}")
    return Quarantine.objects.get(run=materialize(version))


def page_of(held: Quarantine, name: str = "change") -> str:
    return reverse(f"admin:materialization_quarantine_{name}", args=[held.pk])


@walk("who", EVERYBODY)
@pytest.mark.parametrize(("what", "after"), [("release", "releasing"), ("discard", "discarded")])
def test_who_has_the_buttons_and_may_press_them(as_, held, who, what, after):
    client = as_(who)
    page = client.get(page_of(held)).text

    client.post(page_of(held, what), {"reason": "seen"})

    held.refresh_from_db()
    assert (f"/{what}/" in page) == (held.state == after) == (who in MAY)


def test_without_a_reason_nothing_happens(as_, held):
    answer = as_("steward").post(page_of(held, "discard"), {"reason": " "}, follow=True)

    held.refresh_from_db()
    assert held.state == "held"
    assert "Say why" in answer.text


@walk("who", EVERYBODY)
def test_who_sees_the_rows_that_fail(as_, held, who):
    page, rows = as_(who).get(page_of(held)).text, as_(who).get(page_of(held, "rows"))

    may = who in READERS
    assert ("The rows that fail" in page, rows.status_code) == (may, 200 if may else 403)
    assert ("driver_id: 1002" in rows.text) == may
    assert ("consumers, authors and owners. Ask one of them" in page) == (not may)
    found = AuditEntry.objects.filter(verb="quarantine.read")
    read = [(who, {"run": held.run_id, "rows": 2, "after": None})] if may else []
    assert [(each.actor_name, each.data) for each in found] == read


def test_rows_that_fail_come_in_pages(as_, held, monkeypatch):
    monkeypatch.setattr("materialization.admin.quarantine.SHOWN", 1)
    owner = as_("owner")

    first = owner.get(page_of(held, "rows"))
    link = re.search(r'href="(\?cursor=[^"]*)">Next', first.text)[1]
    second = owner.get(page_of(held, "rows") + link)

    assert "4 rows are held" in first.text
    assert ("driver_id: 1002" in first.text) != ("driver_id: 1002" in second.text)
    assert ">Next<" not in second.text
    assert '<a class="as-button" href="?">First</a>' in second.text
    assert "send the `next`" in html.unescape(owner.get(page_of(held, "rows") + "?cursor=x").text)


def test_an_outsider_sees_nothing(as_, held):
    assert f"Run {held.run_id}" not in as_("outsider").get(LIST).text
    assert as_("outsider").get(page_of(held, "rows")).status_code == 404


def test_lists_and_pages_lead_to_what_is_held(as_, held):
    client = as_("steward")

    assert "are held" in client.get(LIST).text
    run = reverse("admin:materialization_materializationrun_change", args=[held.run_id])
    assert page_of(held) in client.get(run).text
    version = held.run.version
    page = reverse("admin:registry_featureviewversion_change", args=[version.pk])
    assert "decide on them" in client.get(page).text


def test_what_warns_is_published_and_stays_on_the_run_and_the_version(as_, cast, sources):
    version = version_with(cast, sources, "{warn: {max: 15}}")

    run = materialize(version)

    assert (run.status, Quarantine.objects.count()) == ("succeeded", 0)
    said = "avg_daily_trips: max fails, 2 of 4 rows are above it"
    page = reverse("admin:registry_featureviewversion_change", args=[version.pk])
    assert said in as_("auditor").get(page).text
    run_page = reverse("admin:materialization_materializationrun_change", args=[run.pk])
    assert "warns" in as_("auditor").get(run_page).text


def test_of_a_version_without_checks_no_run_is_looked_at(cast, sources, django_assert_num_queries):
    """Nothing of its history could have warned: it would be read to its beginning."""
    write_rows(sources, ROWS)
    with committed():
        version = make_version(cast, text=DEFINITIONS)
    version = fresh(materialize(version).version)
    assert version.table is not None

    with django_assert_num_queries(0):
        assert warned(version) == (None, [])
