"""A broken glass where people look: broken on the page, seen on the desk, confirmed by another."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from registry.choices import State
from registry.models import BrokenGlass
from tests.browser.test_accessibility import looked_at
from tests.factories import VIEW, make_ready, make_version

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
LIST = "/admin/registry/featureviewversion/"


@pytest.fixture
def waiting(cast):
    make_ready(make_version(cast))
    return make_version(cast, state=State.IN_REVIEW, text=VIEW.replace("ttl: 2d", "ttl: 3d"))


def broken_by(page, version):
    page.goto(f"{LIST}{version.pk}/change/")
    page.get_by_text("Break the glass…").click()
    page.get_by_label("Reason", exact=True).fill("The scorer is down, and nobody is awake.")
    page.get_by_label("Ends after").select_option("4 hours")
    page.get_by_role("button", name="Break the glass").click()


def test_one_breaks_it_and_another_confirms_it(login, waiting):
    page = login("owner")
    broken_by(page, waiting)

    alert = page.get_by_role("alert").filter(has_text="The glass was broken")
    expect(alert).to_contain_text("The scorer is down")
    expect(page.get_by_text("somebody else has to look at it")).to_be_visible()
    assert page.get_by_role("button", name="Confirm").count() == 0

    page = login("steward")
    page.goto(f"{LIST}?state=in_review&turn=me")
    expect(page.locator("#result_list tr.data-row").first).to_contain_text("broken glass")
    page.get_by_role("link", name="driver_hourly@1.1.0").click()
    page.get_by_role("button", name="Confirm").click()
    page.goto(f"{LIST}{waiting.pk}/change/")
    expect(page.get_by_text("The glass was broken")).to_have_count(0)
    assert BrokenGlass.objects.get().verdict == "confirmed"


def test_axe_finds_nothing_where_a_glass_is_broken(login, cast, waiting):
    other = make_version(cast, state=State.IN_REVIEW, text=VIEW.replace("hourly", "daily"))
    broken_by(login("owner"), waiting)
    page = login("steward")

    for url in (f"{LIST}{waiting.pk}/change/", f"{LIST}{other.pk}/change/", LIST, "/admin/"):
        for look, found in looked_at(page, url):
            assert found == [], look
