"""Pages in the width of a phone: what a table says is in the window, each value below its name."""

from __future__ import annotations

import msgspec
import pytest
from django.utils import timezone
from playwright.sync_api import expect

from materialization.edges.stores import usage_stream
from materialization.models import MaterializationRun, MaterializationSchedule
from materialization.models.alerts import Alert
from serving.online.watching import WATCH
from serving.usage.draining import drain
from serving.usage.edges import stored_usage
from serving.usage.served import profile_of
from tests.browser.test_accessibility import violations
from tests.factories import AT, DEFINITIONS, make_version
from tests.serving.usage.test_served import TRIPS, note_samples, recorded, sample_every_read

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

WORDS = "driver_hourly@1.0.0: conv_rate: drift psi fails, 2.63 against the baseline of a day. " * 2
CHECK = {
    "feature": "a_feature_of_a_long_name", "check": "drift null_share", "passed": False,
    "observed": WORDS, "expected": "at most 0.05", "example": "", "blocks": True,
}  # fmt: skip
CUT = """() => [...document.querySelectorAll("td, tbody th")].filter((cell) =>
  cell.scrollHeight > cell.clientHeight + 1 || cell.getBoundingClientRect().right > innerWidth
).map((cell) => cell.textContent)"""
WIDTHS = "[...document.querySelectorAll('td.as-long')].map((cell) => cell.clientWidth)"


def test_nothing_of_a_table_is_cut_off_on_a_phone(login, cast):
    version = make_version(cast)
    run = MaterializationRun.objects.create(
        version=version, table=version.table, requested_at=AT, enqueued_at=AT, window_end=AT,
        kind="backfill", status="failed", finished_at=AT, error=WORDS, checks=[CHECK],
    )  # fmt: skip
    Alert.objects.create(
        kind="blocked", severity="critical", project=version.feature_view.project,
        subject=str(version), version=version, run=run, words=WORDS, opened_at=AT, last_seen_at=AT,
    )  # fmt: skip
    page = login("author")
    page.set_viewport_size({"width": 390, "height": 844})

    for address in ("", "materialization/alert/", "registry/featuretable/"):
        page.goto(f"/admin/{address}")
        expect(page.locator("td").first).to_be_visible()
        assert page.evaluate(CUT) == [], address
    page.goto(f"/admin/materialization/materializationrun/{run.pk}/change/")
    verdict = page.locator("td[data-label=Verdict]")
    expect(verdict).to_have_text("failed")
    assert page.evaluate(CUT) == []


def test_what_an_object_page_says_is_in_the_window_of_a_phone(login, cast):
    long_name = "a_name_that_is_as_long_as_a_name_may_be".ljust(63, "x")
    version = make_version(cast, text=DEFINITIONS.replace("driver_hourly", long_name))
    MaterializationRun.objects.create(
        version=version, table=version.table, requested_at=AT, enqueued_at=AT, window_end=AT,
        kind="incremental", status="succeeded", finished_at=AT,
    )  # fmt: skip
    schedule, _ = MaterializationSchedule.objects.get_or_create(
        version=version, defaults={"updated_at": AT}
    )
    page = login("author")
    page.set_viewport_size({"width": 390, "height": 844})

    page.goto(f"/admin/materialization/materializationschedule/{schedule.pk}/change/")
    expect(page.locator("td[data-label=Kind]")).to_have_text("incremental")
    assert page.evaluate(CUT) == []
    page.goto("/admin/registry/feature/")
    widths = page.evaluate(WIDTHS)
    assert min(widths) > 300
    for address in (f"featureview/{version.feature_view_id}", f"featureviewversion/{version.pk}"):
        page.goto(f"/admin/registry/{address}/change/")
        expect(page.locator(".as-head h2")).to_contain_text(long_name)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, address


def test_buttons_of_a_feature_are_in_the_window_of_a_phone_and_over_no_text(login, cast):
    version = make_version(cast)
    feature = version.features.get(name=TRIPS)
    reads_are_sampled(cast, version)
    page = login("author")
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"/admin/registry/feature/{feature.pk}/change/")

    copies = page.locator("[data-copy]:visible")
    boxes = [copies.nth(place).bounding_box() for place in range(copies.count())]
    assert len(boxes) > 1
    assert max(box["x"] + box["width"] for box in boxes if box) <= 390 - 12
    first = page.locator(".as-copy .as-code").first
    below = first.evaluate("code => parseFloat(getComputedStyle(code).paddingTop)")
    assert below >= 40

    served = page.locator("section", has_text="Served values against the baseline").last
    expect(served).to_contain_text("1,260 sampled values since")
    expect(served.locator("svg").first).to_be_visible()
    served.get_by_text("As a table").click()
    expect(served.locator("details tbody tr").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert violations(page) == []


def reads_are_sampled(cast, version) -> None:
    """Have sampled values of a feature, and a baseline of the version that they lie beside."""
    sample_every_read(cast)
    usual = [("PRESENT", str(number)) for number in range(10)] * 150
    kind = next(each.value_type for each in version.spec.features if each.name == TRIPS)
    told = [{"status": status, "value": value} for status, value in usual]
    recorded(version, msgspec.structs.replace(profile_of(TRIPS, kind, told), std=2.0), at=AT)
    lately = [*usual[:1_200], *[("NULL_VALUE", "null")] * 60]
    note_samples(version, TRIPS, lately, at=timezone.now())
    WATCH.flush()
    assert drain(usage_stream(), stored_usage())
