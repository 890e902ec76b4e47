"""Certificates in the admin: the page of one, the chart, who has which button."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from materialization.markup import outcomes
from materialization.models import Certificate
from tests.factories import AT
from tests.materialization.run_world import committed, fresh, materialize
from tests.undoing import walk

pytestmark = pytest.mark.django_db
LIST = reverse("admin:materialization_certificate_changelist")
MAY = ("operator", "steward", "author", "owner", "superuser")
EXAMPLE = {"kind": "extra", "key": "driver_id=4711", "online": {"event_timestamp": "2026"}}


@pytest.fixture
def loaded(cast, version):
    with committed():
        materialize(version)
    return fresh(version)


def certificate_of(version, status="different", **said):
    found = {"compared": 1000, "extra": 1, "examples": [EXAMPLE]} if status == "different" else {}
    return Certificate.objects.create(
        table=version.table, version=version, kind="online", status=status,
        requested_at=AT, enqueued_at=AT, **(found | said),
    )  # fmt: skip


def url(certificate, name="change"):
    return reverse(f"admin:materialization_certificate_{name}", args=[certificate.pk])


@walk("who", [*MAY, "consumer", "auditor", "outsider"])
def test_who_has_the_buttons_and_may_press_them(as_, loaded, who):
    client, found = as_(who), certificate_of(loaded)
    version_page = reverse("admin:registry_featureviewversion_change", args=[loaded.pk])

    page = client.get(url(found)).content.decode()
    offered = [words in page for words in ("Repair", "Compare all rows now")]
    on_version = "Compare now" in client.get(version_page).content.decode()
    client.post(url(found, "repair"))

    may = who in MAY
    assert (offered, on_version) == ([may] * 2, may)
    assert Certificate.objects.filter(repair=True, sample=None).count() == (1 if may else 0)
    Certificate.objects.filter(repair=True).delete()
    client.post(reverse("admin:materialization_compare", args=[loaded.pk]))
    assert Certificate.objects.filter(sample=1000).count() == (1 if may else 0)


def test_the_page_says_what_was_found_and_to_readers_whose_rows(as_, loaded):
    found = certificate_of(loaded)

    page = as_("consumer").get(url(found)).content.decode()
    assert "driver_id=4711" in page.replace("<wbr>", "")
    assert "as-wrong" in page
    assert "<dd>the schedule</dd>" in page
    Certificate.objects.filter(pk=found.pk).update(from_shell=True)
    assert "<dd>the shell</dd>" in as_("consumer").get(url(found)).content.decode()
    assert "driver_id=4711" not in as_("steward").get(url(found)).content.decode()
    assert "999 equal, 1 extra" in as_("steward").get(LIST).content.decode()


def test_an_equal_one_is_not_repaired_and_one_under_way_not_asked_for_again(as_, loaded):
    equal, live = certificate_of(loaded, "equal"), certificate_of(loaded, "running")

    assert "Repair" not in as_("owner").get(url(equal)).content.decode()
    assert "Compare all rows now" not in as_("owner").get(url(live)).content.decode()


def test_a_line_costs_no_query_of_its_own(as_, loaded):
    client = as_("consumer")
    certificate_of(loaded)

    def queries() -> int:
        with CaptureQueriesContext(connection) as found:
            assert client.get(LIST).status_code == 200
        return len(found)

    one = queries()
    for status in ("equal", "failed", "different"):
        certificate_of(loaded, status)
    assert queries() == one


def test_the_chart_is_higher_the_more_differs():
    def drawn(**said):
        return outcomes([Certificate(requested_at=AT, **said)])

    assert 'height="4" class=""' in drawn(status="equal")
    assert 'height="4" class="as-unknown"' in drawn(status="failed")
    assert 'height="40" class="as-wrong"' in drawn(status="different", compared=3, missing=3)
    assert 'height="10" class="as-wrong"' in drawn(status="different", compared=10**6, extra=1)
    assert outcomes([]) == ""
