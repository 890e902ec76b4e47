"""Comments on lines as people make them: by mouse and by keys, answered, seen again."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from registry.choices import State
from registry.models import ReviewComment
from tests import factories
from tests.factories import AT, VIEW, make_version

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
CHANGED = VIEW.replace("ttl: 2d", "ttl: 3d").replace("Conversion rate", "Share of calls won")


@pytest.fixture
def waiting(cast):
    make_version(cast)
    return make_version(cast, state=State.IN_REVIEW, text=CHANGED)


def open_page(page, version):
    page.goto(f"/admin/registry/featureviewversion/{version.pk}/change/")
    return page


def test_a_reviewer_comments_on_a_line_by_keys_and_asks_for_changes(login, cast, waiting):
    page = open_page(login("steward"), waiting)
    for key in ("n", "n", "p", "c"):
        page.keyboard.press(key)
    field = page.get_by_label("Comment on the line")
    expect(field).to_be_focused()
    page.keyboard.press("Escape")
    expect(field).to_have_count(0)
    page.keyboard.press("c")
    page.keyboard.type("Who said <b>so</b>?")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    thread = page.get_by_role("article", name="Comment of steward")
    expect(thread).to_contain_text("Who said <b>so</b>?")
    page.get_by_role("button", name="Request changes").click()
    expect(page.get_by_text("went back to its authors")).to_be_visible()

    said = ReviewComment.objects.get()
    assert (said.side, said.line, said.line_text) == ("old", 1, "Conversion rate")
    waiting.refresh_from_db()
    assert waiting.state == State.DRAFT


def test_an_author_answers_and_the_next_submission_shows_the_thread(login, cast, waiting):
    page = open_page(login("steward"), waiting)
    page.locator(".as-came .as-number").last.click()
    page.get_by_label("Comment on the line").fill("Three days?")
    page.get_by_role("button", name="Comment", exact=True).first.click()
    page.get_by_label("Comment", exact=True).fill("See the line.")
    page.get_by_role("button", name="Request changes").click()

    page = open_page(login("author"), waiting)
    thread = page.get_by_role("article", name="Comment of steward")
    thread.get_by_text("Answer").first.click()
    thread.get_by_label("Answer").fill("Four, for weekends.")
    thread.get_by_role("button", name="Answer").click()
    expect(thread).to_contain_text("Four, for weekends.")
    again = make_version(cast, state=State.IN_REVIEW, text=CHANGED.replace("ttl: 3d", "ttl: 4d"))

    page = open_page(login("steward"), again)
    expect(thread).to_contain_text("said of 3d")
    thread.get_by_role("button", name="Resolve").click()
    expect(page.get_by_text("Resolved by steward")).to_have_count(1)
    factories.approve(again, cast.second_steward, at=AT)
    again.refresh_from_db()
    assert again.state == State.APPROVED


def test_times_are_shown_in_the_zone_of_whoever_looks(login, cast, waiting, served):
    page = login("steward")
    cookies = page.context.cookies()
    there = page.context.browser.new_context(base_url=served, timezone_id="Asia/Tokyo")
    there.add_cookies(cookies)
    page = open_page(there.new_page(), waiting)

    time = page.locator("time.as-time").first
    expect(time).to_have_text("2026-03-01 21:00:00 GMT+9")
    assert time.get_attribute("title").startswith("2026-03-01T12:00:00+00:00 (")
    assert "ago)" in time.get_attribute("title")
