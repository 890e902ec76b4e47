"""The catalogue as a reader uses it: no staff rights, mostly the keyboard, on any screen."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from registry.models import Question
from tests.factories import apply, make_ready, make_version

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

SERVICE = 'kind: FeatureService\nname: eta_model\nfeatures: ["driver_hourly:conv_rate"]'


@pytest.fixture
def reader(page, cast):
    """The consumer's browser; no staff rights."""
    make_ready(make_version(cast))
    apply(SERVICE, cast)
    type(cast.consumer).objects.filter(pk=cast.consumer.pk).update(is_staff=False)
    page.goto("/catalogue")
    page.get_by_label("Username").fill("consumer")
    page.get_by_label("Password").fill("pw")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="3 features")).to_be_visible()
    return page


def test_a_reader_finds_a_feature_by_the_keyboard_and_copies_how_to_read_it(reader):
    page = reader
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator("body").click(position={"x": 600, "y": 5})
    page.keyboard.press("/")
    page.keyboard.type("conversoin")
    page.keyboard.press("Enter")
    expect(page.get_by_text("searched conversion in its place")).to_be_visible()
    page.wait_for_load_state()
    page.keyboard.press("/")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", name="conv_rate").last).to_be_visible()
    expect(page.get_by_role("link", name="eta_model").first).to_be_visible()
    page.get_by_role("button", name="Copy reference").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == "driver_hourly:conv_rate"


def test_a_reader_narrows_by_facets_and_asks(reader):
    page = reader
    page.locator("summary", has_text="Type").click()
    page.get_by_role("link", name="int32").click()
    expect(page.get_by_role("heading", name="1 feature")).to_be_visible()
    page.get_by_role("link", name="avg_daily_trips").click()
    page.get_by_label("Ask those who know this feature").fill("Per **day**?")
    page.get_by_role("button", name="Ask", exact=True).click()

    expect(page.locator(".as-question strong", has_text="day")).to_be_visible()
    assert Question.objects.get().text == "Per **day**?"


@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_of_the_catalogue_is_wider_than_the_window(reader, width):
    page = reader
    page.set_viewport_size({"width": width, "height": 844})
    for address in (
        "/catalogue",
        "/catalogue/rides/feature/driver_hourly:conv_rate",
        "/catalogue/rides/data-source/driver_stats",
        "/catalogue/rides/feature-service/eta_model",
    ):
        page.goto(address)
        expect(page.locator(".as-card").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, address
