"""The review desk as people use it: find, read, decide; and what follows a run as it goes."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from materialization.models import MaterializationRun, MaterializationSchedule
from registry import spreading
from registry.choices import State
from registry.models import ApiToken, Notification, Review
from tests.factories import AT, VIEW, make_version

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

CHANGED = VIEW.replace("ttl: 2d", "ttl: 3d").replace("Conversion rate", "Share of calls won")


def state(version) -> State:
    version.refresh_from_db()
    return State(version.state)


@pytest.fixture
def waiting(cast):
    """``driver_hourly@1.1.0``, submitted by the author, with a change against 1.0.0."""
    make_version(cast)
    return make_version(cast, state=State.IN_REVIEW, text=CHANGED)


def test_a_steward_finds_reads_and_approves_a_version(login, waiting):
    page = login("steward")
    page.get_by_role("link", name="driver_hourly@1.1.0").first.click()

    expect(page.get_by_text("ttl 2d became 3d")).to_be_visible()
    expect(page.locator(".as-came").first).to_contain_text("Share of calls won")
    expect(page.get_by_text("compared with")).to_contain_text("1.0.0")
    page.get_by_label("Comment", exact=True).fill("Looked at the source: fine.")
    page.get_by_role("button", name="Approve").click()

    expect(page.get_by_text("Your approval of driver_hourly@1.1.0 is recorded.")).to_be_visible()
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    assert state(waiting) == State.APPROVED
    assert Review.objects.get(version=waiting).comment == "Looked at the source: fine."

    end = (timezone.now() + timedelta(days=30)).replace(second=0, microsecond=0)
    page.goto(f"/admin/registry/featureviewversion/{waiting.pk}/change/")
    page.get_by_text("Deprecate this version…").click()
    page.get_by_label("To answer until").fill(f"{end:%Y-%m-%dT%H:%M}")
    page.get_by_role("button", name="Deprecate").click()

    expect(page.get_by_text("driver_hourly@1.1.0 is deprecated").first).to_be_visible()
    assert state(waiting) == State.DEPRECATED
    assert waiting.sunset_at == end


def test_a_rejection_needs_a_comment(login, waiting):
    page = login("steward")
    page.get_by_role("link", name=re.compile("Review desk")).first.click()
    page.get_by_role("link", name="driver_hourly@1.1.0").click()
    page.get_by_role("button", name="Request changes").click()

    expect(page.get_by_text("Reject needs a comment")).to_be_visible()
    assert state(waiting) == State.IN_REVIEW

    page.get_by_label("Comment", exact=True).fill("Why three days?")
    page.get_by_role("button", name="Request changes").click()

    expect(page.get_by_text("went back to its authors")).to_be_visible()
    assert state(waiting) == State.DRAFT


@pytest.mark.parametrize(
    ("who", "words"),
    [
        ("author", "A steward of rides decides."),
        ("owner", "somebody else has to decide"),
    ],
)
def test_who_wrote_it_finds_no_button_to_approve(login, cast, waiting, who, words):
    waiting.editors.get_or_create(user=cast.owner, defaults={"first_at": AT})
    page = login(who)
    page.goto(f"/admin/registry/featureviewversion/{waiting.pk}/change/")

    expect(page.get_by_text(words)).to_be_visible()
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    expect(page.get_by_role("button", name="Request changes")).to_have_count(0)


LONG = "average_conversion_rate_of_a_driver_over_the_last_hour"
PAGES = (
    "registry/featureviewversion/", "registry/featureview/", "registry/featureservice/",
    "registry/entity/", "registry/datasource/", "registry/project/", "registry/auditentry/",
    "materialization/materializationrun/", "materialization/materializationschedule/", "",
)  # fmt: skip
#: What is wider than the room it has: a table, a card or the page.
CUT = """() => [document.documentElement,
    ...document.querySelectorAll(".as-scroll, .as-card, .as-body, .simplebar-content-wrapper")]
    .filter(box => box.checkVisibility() && box.scrollWidth > box.clientWidth + 1)
    .map(box => `${box.className}: ${box.innerText.slice(0, 80)}`)"""


@pytest.mark.parametrize("width", [1280, 1680])
def test_nothing_is_cut_off_however_long_the_names(login, cast, width):
    make_version(cast)
    for text in (VIEW, CHANGED):
        version = make_version(cast, text=text.replace("driver_hourly", LONG))
        MaterializationSchedule.objects.create(version=version, every="15m", updated_at=AT)
        columns = {"status": "failed", "error": f"{LONG}: no", "requested_at": timezone.now()}
        MaterializationRun.objects.create(
            version=version, table=version.table, window_end=AT, enqueued_at=AT, **columns
        )
    waiting = make_version(cast, state=State.IN_REVIEW, text=VIEW.replace("2d", "5d"))
    page = login("superuser")
    page.set_viewport_size({"width": width, "height": 900})
    shown = (
        *PAGES,
        f"registry/featureviewversion/{version.pk}/change/",
        f"registry/featureviewversion/{waiting.pk}/change/",
        f"registry/featureview/{version.feature_view_id}/change/",
        f"registry/project/{cast.project.pk}/change/",
        f"materialization/materializationrun/{version.runs.get().pk}/change/",
        f"materialization/materializationschedule/{version.materialization_schedule.pk}/change/",
    )

    for path in shown:
        page.goto(f"/admin/{path}")
        assert page.evaluate(CUT) == [], path


def test_an_empty_desk_says_what_fills_it(login, cast):
    page = login("steward")

    expect(page.get_by_text("Nothing waits for review")).to_be_visible()
    expect(page.get_by_text("assay apply FILES --submit").first).to_be_visible()


def test_definitions_are_shown_as_text_and_never_as_markup(login, cast):
    text = VIEW.replace("Conversion rate", "'<script>throw 1</script><b>bold</b>'")
    make_version(cast)
    hostile = make_version(cast, state=State.DRAFT, text=text)
    page = login("steward")
    page.goto(f"/admin/registry/featureviewversion/{hostile.pk}/change/")

    expect(page.get_by_text("<b>bold</b>").first).to_be_visible()


def test_a_run_is_followed_without_loading_the_page_again(login, cast):
    version = make_version(cast)
    run = MaterializationRun.objects.create(
        version=version,
        table=version.table,
        kind="backfill",
        window_end=AT,
        status="running",
        step="reading",
        progress=0.25,
        requested_at=AT,
        enqueued_at=AT,
        started_at=AT,
        attempt=1,
    )
    page = login("operator")
    page.goto(f"/admin/materialization/materializationrun/{run.pk}/change/")
    expect(page.locator(".as-progress small")).to_have_text("25 %")

    run.advance(progress=0.5, rows_read=1234)
    expect(page.locator(".as-progress small")).to_have_text("50 %")
    expect(page.get_by_text("1,234")).to_be_visible()

    chunk = {"until": "2026-01-01T00:00:00Z", "expected": 3000}
    stored = {"stored_at": "2026-03-01T12:00:00Z", "seconds": 1.5}
    counts = {"counts": {"rows_read": 3000, "rows_stored": 2987}}
    run.advance(chunks=[chunk | stored | counts, chunk])
    expect(page.get_by_role("cell", name="2,987")).to_be_visible()
    expect(page.get_by_text("Rows a second")).to_be_visible()

    run.advance(status="succeeded", step="done", progress=1.0, finished_at=AT)
    heading = page.get_by_role("heading", name=re.compile(rf"^Run {run.pk}\b"))
    expect(heading).to_contain_text("succeeded")


def test_a_token_is_shown_once(login, cast):
    page = login("consumer")
    page.goto("/admin/registry/apitoken/add/")
    page.get_by_label("Name").fill("churn model")
    page.get_by_role("button", name="Issue the token").click()
    text = page.locator(".as-secret code").inner_text()

    token = ApiToken.objects.get()
    assert text.startswith(token.prefix)
    page.get_by_role("link", name="I have it").click()
    expect(page.get_by_role("heading", name="churn model").first).to_be_visible()
    assert text not in page.content()


def test_drafts_open_and_can_be_submitted_from_the_page(login, cast, settings):
    settings.SOURCE_LOOK = "tests.factories.look"
    make_version(cast, state=State.DRAFT)
    page = login("author")
    page.goto("/admin/registry/featureviewversion/?state=draft")
    page.get_by_role("link", name="driver_hourly@draft").click()
    page.get_by_role("button", name="Submit for review").click()

    expect(page.get_by_text("driver_hourly@1.0.0 waits for review now.")).to_be_visible()


def test_a_steward_goes_through_what_waits_by_keys(login, cast, waiting):
    other = make_version(
        cast, state=State.IN_REVIEW, text=VIEW.replace("driver_hourly", "driver_daily")
    )
    page = login("steward")
    page.goto(f"/admin/registry/featureviewversion/{waiting.pk}/change/")
    expect(page.get_by_text("1 of 2 waiting for you")).to_be_visible()

    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys of this page")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    expect(page.get_by_text("2 of 2 waiting for you")).to_be_visible()
    page.keyboard.press("k")
    expect(page.get_by_text("1 of 2 waiting for you")).to_be_visible()

    page.keyboard.press("r")
    page.keyboard.type("j and k are letters here.")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Approve")).to_be_focused()
    page.get_by_role("heading", name="Change").click()
    page.keyboard.press("a")
    page.keyboard.press("Enter")

    expect(page.get_by_text("Your approval of driver_hourly@1.1.0 is recorded.")).to_be_visible()
    expect(page.get_by_text("1 of 1 waiting for you")).to_be_visible()
    assert page.url.endswith(f"/{other.pk}/change/")
    assert Review.objects.get(version=waiting).comment == "j and k are letters here."


def test_a_list_is_walked_and_ticked_by_keys_and_approved_together(login, cast, waiting):
    text = VIEW.replace("driver_hourly", "driver_daily")
    make_version(cast, text=text)
    patch = make_version(
        cast, state=State.IN_REVIEW, text=text.replace("Conversion rate", "Share of calls won")
    )
    page = login("steward")
    page.goto("/admin/registry/featureviewversion/?state=in_review&turn=me")
    first = page.locator("#result_list .field-title a").first
    page.keyboard.press("j")
    expect(first).to_be_focused()
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.locator("input.action-select:checked")).to_have_count(2)
    page.locator("select[name=action]").first.select_option("approve_chosen")
    page.get_by_role("button", name="Run").first.click()

    expect(page.get_by_text("1 can be approved")).to_be_visible()
    expect(page.get_by_text("is a minor change with features that are not public")).to_be_visible()
    page.get_by_role("heading", name="Approve together").last.click()
    page.keyboard.press("a")
    page.keyboard.press("Enter")

    expect(page.get_by_text("Your approval of driver_daily@1.0.1 is recorded.")).to_be_visible()
    assert (state(patch), state(waiting)) == (State.APPROVED, State.IN_REVIEW)
    assert page.url.endswith("?state=in_review&turn=me")


def test_a_notification_leads_to_what_waits(login, cast, waiting):
    spreading.spread_news(at=AT)
    page = login("steward")
    page.get_by_role("link", name="Notifications, 1 unread").click()
    page.get_by_role("link", name="author submitted for your review driver_hourly@1.1.0").click()

    expect(page.get_by_role("heading", name="Your decision")).to_be_visible()
    expect(page.get_by_role("link", name="Notifications", exact=True).first).to_be_visible()
    assert Notification.objects.get(recipient=cast.steward).read_at is not None
