"""A program's account in a browser: made with its token, rotated, shut out and let in again."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from registry.models import ApiToken, ServiceAccount
from tests.browser.test_accessibility import LOOKS, violations

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def looked_at(page):
    """Look at the page as it is, which no address leads to again, by axe in each look."""
    for scheme, widths in LOOKS:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        for width in widths:
            page.set_viewport_size({"width": width, "height": 900})
            assert violations(page) == [], (scheme, width)
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{scheme} {width}: the page is {wide} wide"
    page.set_viewport_size({"width": 1400, "height": 900})


def test_a_programs_account_from_its_making_to_its_end(login, cast):
    page = login("owner")
    page.get_by_role("link", name="Service accounts").click()
    expect(page.get_by_text("No service accounts yet")).to_be_visible()

    page.goto("/admin/registry/serviceaccount/add/")
    page.get_by_label("Name", exact=True).fill("churn")
    page.get_by_label("What it is for").fill("Churn model, production")
    page.get_by_label("read_online").check()
    page.get_by_role("button", name="Make the account").click()
    expect(page.get_by_text("Copy it now")).to_be_visible()
    first = page.locator("#as-token").inner_text()
    looked_at(page)
    page.get_by_role("link", name="I have it").click()
    expect(page.get_by_role("heading", name="churn@rides active")).to_be_visible()
    assert first not in page.content()
    own = page.url

    page.get_by_role("link", name="production").click()
    page.get_by_label("The old one goes on for").fill("2")
    page.get_by_role("button", name="Rotate the token").click()
    second = page.locator("#as-token").inner_text()
    assert second != first
    looked_at(page)
    page.get_by_role("link", name="I have it").click()
    expect(page.get_by_text("In the place of")).to_be_visible()
    page.locator("dd a").first.click()
    expect(page.get_by_text("took its place")).to_be_visible()
    assert page.get_by_role("button", name="Rotate the token").count() == 0

    page.goto(own)
    page.get_by_role("button", name="Shut the account out").click()
    expect(page.get_by_text("churn@rides is shut out, and all its tokens")).to_be_visible()
    looked_at(page)
    page.get_by_role("button", name="Let the account in").click()
    expect(page.get_by_text("churn@rides is let in again")).to_be_visible()
    account = ServiceAccount.objects.get()
    assert account.user.is_active
    assert ApiToken.objects.filter(user=account.user).count() == 2
