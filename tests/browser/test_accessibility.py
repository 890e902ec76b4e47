"""Every page of the admin by axe, in light and dark, from a phone's width to a desk's; and keys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import axe_playwright_python
import pytest
from django.contrib import admin
from django.urls import reverse
from playwright.sync_api import expect

from materialization.models import (
    Certificate,
    MaterializationRun,
    MaterializationSchedule,
    Quarantine,
)
from materialization.models.alerts import Alert
from registry import spreading
from registry.choices import Role, State
from registry.models import Feature, Notification, Proposal, ReadGrant
from registry.operations.people import members
from registry.operations.people.service_accounts import make_service_account
from registry.operations.people.tokens import issue_token
from registry.operations.questions import answer_question, ask_question
from tests import factories
from tests.factories import AT, SOURCE, VIEW, apply, make_version, token_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
#: Which of the two a person may have chosen, and the widths that are looked at in it.
LOOKS: Any = (("light", (1440, 768)), ("dark", (390, 1440)))
SERVICE = 'kind: FeatureService\nname: eta\nfeatures: ["driver_hourly:conv_rate"]\n'
ON_DEMAND = """
kind: OnDemandFeatureView
name: busy
inputs: {features: ["driver_hourly:conv_rate"], request: {trips: int32}}
features: [{name: ratio, type: float64, sql: "conv_rate * trips"}]
"""


@pytest.fixture
def world(cast: Any) -> None:
    """Something of each kind, so that no page is empty."""
    version: Any = make_version(cast)
    apply("\n---\n".join((SERVICE, ON_DEMAND, VIEW.replace("Conversion rate", "Share"))), cast)
    make_version(cast, state=State.IN_REVIEW, text=VIEW.replace("driver_hourly", "second_view"))
    apply(SOURCE.replace("name: driver_stats", "name: other"), cast)
    program = make_service_account(
        project=cast.project, name="churn", role=Role.CONSUMER, actor=cast.owner, at=AT
    )
    issue_token(user=program.user, name="t", actor=cast.owner, at=AT, project=cast.project)
    token_for(cast.superuser)
    run = MaterializationRun.objects.create(
        version=version, table=version.table, requested_at=AT, enqueued_at=AT, window_end=AT,
        kind="backfill", status="failed", finished_at=AT, error="the source has no column x",
    )  # fmt: skip
    Alert.objects.create(
        kind="blocked", severity="critical", project=cast.project, subject=str(version),
        version=version, run=run, words="conv_rate: not null", opened_at=AT, last_seen_at=AT,
    )  # fmt: skip
    Certificate.objects.create(
        table=version.table, version=version, kind="online", status="unequal", compared=3,
        different=1, requested_at=AT, enqueued_at=AT, finished_at=AT,
    )  # fmt: skip
    Quarantine.objects.create(
        run=run, table=version.table, window_end=AT, stored_as="x", rows=2, size_bytes=9, held_at=AT
    )
    MaterializationSchedule.objects.get_or_create(version=version, defaults={"updated_at": AT})
    _people_talk(cast)


def _people_talk(cast: Any) -> None:
    """Have a grant, a question with an answer, what waits for a second person, and news of all."""
    factories.give_grant(cast, cast.consumer, view="driver_hourly")
    question = ask_question(
        feature_view=factories.view_of(cast), feature="acc_rate", text="Of **what**?",
        actor=cast.consumer, at=AT,
    )  # fmt: skip
    answer_question(question=question, text="`accepted` trips", actor=cast.author, at=AT)
    members.grant_role(
        project=cast.project, user=cast.consumer, role=Role.STEWARD, actor=cast.owner, at=AT
    )
    spreading.spread_news(at=AT)
    news = Notification.objects.filter(kind="question").order_by("pk").first()
    assert news and Proposal.objects.exists() and ReadGrant.objects.exists()
    # Its page leads to what it is about, for whoever it is for.
    news.pk, news.recipient = None, cast.superuser
    news.save(force_insert=True)


def pages() -> Iterator[str]:
    """Yield each list, the page of one object of it, and the form that adds one."""
    yield "/admin/"
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        yield reverse(f"{name}_changelist")
        if (row := model._default_manager.order_by("-pk").first()) is not None:
            yield reverse(f"{name}_change", args=[row.pk])
        yield reverse(f"{name}_add")
    asked = Feature.objects.filter(name="acc_rate").order_by("pk").first()
    assert asked
    yield reverse("admin:registry_feature_change", args=[asked.pk])
    yield reverse("admin:registry_notification_choices")
    yield "/admin/registry/feature/?q=conv"
    yield "/admin/password_change/"
    yield "/admin/registry/featureview/999999/change/"
    yield "/admin/nothing/here/"


def violations(page: Page) -> list[str]:
    """Return what axe finds wrong, each with the first places it is at."""
    page.evaluate(AXE)
    found = page.evaluate("tags => axe.run(document, {runOnly: {type: 'tag', values: tags}})", TAGS)
    return [
        f"{each['impact']} {each['id']}: {node['target']} {node['html'][:150]}"
        for each in found["violations"]
        for node in each["nodes"][:2]
    ]


def looked_at(page: Page, url: str) -> Iterator[tuple[str, list[str]]]:
    """Yield what axe finds at an address in each look; nothing where the person may not go."""
    for scheme, widths in LOOKS:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        response = page.goto(url)
        if response is not None and response.status in (403, 405):
            return
        for width in widths:
            page.set_viewport_size({"width": width, "height": 900})
            yield f"{url} {scheme} {width}", violations(page)


def test_axe_finds_nothing_on_any_page(login, world):
    page = login("superuser")
    seen: dict[str, list[str]] = {}
    for url in pages():
        for look, found in looked_at(page, url):
            for each in found:
                seen.setdefault(each, []).append(look)
    assert not seen


def test_axe_finds_nothing_where_nobody_is_logged_in(page, cast):
    for url in ("/admin/login/", "/nothing/here/"):
        for look, found in looked_at(page, url):
            assert found == [], look


def test_a_phone_names_each_value_of_a_list_as_its_column(login, world):
    page = login("owner")
    page.set_viewport_size({"width": 390, "height": 900})
    page.goto("/admin/registry/auditentry/")

    names = page.locator("#result_list tr.data-row").first.locator("td, th")
    labels = names.evaluate_all("cells => cells.map(cell => cell.dataset.label)")
    assert labels == ["When", "Who", "Verb", "Subject", "Project", "In short"]


def test_the_keyboard_opens_and_closes_what_a_mouse_does(login, world):
    page = login("owner")
    page.goto("/admin/registry/featureview/")

    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Skip to the content")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"

    filters = page.get_by_role("button", name="Filters")
    filters.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#changelist-filter")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#changelist-filter")).to_be_hidden()
    expect(filters).to_be_focused()

    account = page.get_by_role("button", name="owner")
    account.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    dark = page.get_by_role("button", name="Dark")
    dark.focus()
    page.keyboard.press(" ")
    expect(page.locator("html")).to_have_class("dark")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Log out")).to_be_hidden()

    page.get_by_role("button", name="Search features").focus()
    page.keyboard.press("Enter")
    expect(page.locator("input:focus")).to_be_visible()


def test_trails_say_what_the_menu_says(login, world):
    page = login("owner")

    for address, words in (
        ("registry/auditentry/", "Audit"),
        ("registry/featureviewversion/?state=in_review", "Review desk"),
        ("registry/featuretable/", "Stored data"),
    ):
        page.goto(f"/admin/{address}")
        expect(page.locator("h1")).to_contain_text(words)
        expect(page.locator("h1")).not_to_contain_text("Registry")
