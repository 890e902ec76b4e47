"""A grant's whole way in a browser: asked for, given by somebody else, taken back."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from registry.models import ReadGrant
from tests.factories import make_version

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_a_grant_is_asked_for_given_and_taken_back(login, cast):
    make_version(cast)
    page = login("consumer")
    page.goto("/admin/registry/readgrant/add/?project=rides&feature_view=driver_hourly")
    page.get_by_label("Purpose").fill("Churn model, weekly scores")
    page.get_by_role("button", name="Ask for it").click()
    expect(page.get_by_role("heading", name="Grant for consumer asked")).to_be_visible()
    own = page.url

    page = login("steward")
    page.goto(own)
    page.get_by_label("Comment").fill("Fine")
    page.get_by_role("button", name="Give").click()
    expect(page.get_by_text("may read from now on")).to_be_visible()
    page.get_by_role("button", name="Take it back").click()

    expect(page.get_by_text("It is taken back")).to_be_visible()
    assert ReadGrant.objects.get().state == "revoked"
