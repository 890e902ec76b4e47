"""A feature's way through everybody's hands, in a real browser on a real server with its worker:
an author defines it, a steward asks for a change, two decide, a consumer finds it and is given
leave to read it, an auditor looks at who did what.

Not for the pages one by one (``tests/browser``) or for what the answers are (``test_golden_path``).
"""

from __future__ import annotations

import csv
import io
import re
import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from playwright.sync_api import expect, sync_playwright

from assay import FeatureStore
from assay import errors as client_errors
from tests import servers
from tests.browser.conftest import ARGUMENTS, CHROMIUMS
from tests.factories import DEFINITIONS
from tests.journeys.test_golden_path import shell, trips, until, write_source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.journey, pytest.mark.browser]

#: Each has set their own password and may look at the admin, but the consumer is no staff.
PEOPLE = """
from django.contrib.auth.models import User
from django.utils import timezone
from registry.choices import Role
from registry.operations.people import members, projects, tokens, users
from registry.operations.registration import roots
now = timezone.now()
def person(name, is_staff=True):
    user = User.objects.create_user(name, password="pw-of-" + name, is_staff=is_staff)
    users.note_password_changed(user=user, actor=user, at=now)
    return user
owner, other = person("olaf"), person("stella")
project = projects.create_project(name="rides", actor=owner, at=now)
roots.assign_root(project=project, path={root!r}, actor=None, at=now)
roles = {{"ana": Role.AUTHOR, "sam": Role.STEWARD, "cora": Role.CONSUMER, "audrey": Role.AUDITOR}}
with members.managing(project, owner):
    members.grant(project, other, Role.STEWARD, owner, now)
    for name, role in roles.items():
        user = person(name, is_staff=name != "cora")
        members.grant(project, user, role, owner, now, accepted_by=other)
        print(name, tokens.issue_token(
            user=user, name="story", actor=user, at=now, days=1, is_logged_in=True
        )[1])
"""
#: How often a driver is hired is nobody's business without leave.
SECRET = DEFINITIONS.replace("sensitivity: internal", "sensitivity: confidential")


class Story(NamedTuple):
    server: servers.Server
    stores: dict[str, FeatureStore]
    browser: Browser
    folder: Path

    def page_of(self, name: str) -> Page:
        """Return the page of somebody who has just logged in."""
        page = self.browser.new_context(base_url=self.server.url).new_page()
        page.set_default_timeout(60_000)  # for a busy machine
        page.on("pageerror", lambda error: pytest.fail(f"{name} on {page.url}: {error}"))
        page.goto("/admin/")
        page.get_by_label("Username").fill(name)
        page.get_by_label("Password").fill(f"pw-of-{name}")
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(re.compile(r"/(admin|catalogue)/(?!login)"))
        return page

    def define(self, text: str) -> None:
        path = self.folder / "features.yaml"
        path.write_text(text)
        self.stores["ana"].apply(str(path), submit=True)

    def assayed(self) -> Any:
        review = self.stores["ana"].review("driver_hourly")
        return review if review["evidence"]["status"] == "computed" else None


@pytest.fixture(scope="module")
def story(tmp_path_factory: Any) -> Iterator[Story]:
    chromium = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if chromium is None:
        pytest.skip("no chromium on this machine")
    folder = tmp_path_factory.mktemp("sources")
    write_source(folder, "driver_stats.parquet", 20)
    state = tmp_path_factory.mktemp("state")
    with (
        servers.assay_server(state, FILE_ROOTS=str(folder), SWEEP_EVERY_SECONDS="1") as server,
        sync_playwright() as playwright,
    ):
        said = shell(server, PEOPLE.format(root=str(folder)))
        stores = {
            name: FeatureStore(url=server.url, token=token, project="rides")
            for name, token in zip(said[::2], said[1::2], strict=True)
        }
        browser = playwright.chromium.launch(executable_path=chromium, args=[*ARGUMENTS])
        yield Story(server, stores, browser, tmp_path_factory.mktemp("definitions"))
        browser.close()


def test_a_steward_asks_for_a_change_and_the_author_answers(story):
    story.define(SECRET)
    until(story.assayed)

    page = story.page_of("sam")
    page.get_by_role("link", name=re.compile("Review desk")).first.click()
    page.get_by_role("link", name="driver_hourly@1.0.0").click()
    expect(page.get_by_role("heading", name="Evidence from the data")).to_be_visible()
    expect(page.get_by_text("20 rows of this version")).to_be_visible()
    page.get_by_label("Comment", exact=True).fill("Trips of which day? Say it.")
    page.get_by_role("button", name="Request changes").click()
    expect(page.get_by_text("went back to its authors")).to_be_visible()

    page = story.page_of("ana")
    page.goto("/admin/registry/featureviewversion/?state=draft")
    page.get_by_role("link", name="driver_hourly@1.0.0").click()
    expect(page.get_by_text("Trips of which day? Say it.").first).to_be_visible()
    story.define(
        SECRET.replace(
            "sensitivity: confidential",
            "sensitivity: confidential, description: Trips of the day before",
        )
    )


def test_two_stewards_decide_by_keys_and_workers_do_the_rest(story):
    until(story.assayed)

    for name in ("sam", "stella"):
        page = story.page_of(name)
        page.goto("/admin/registry/featureviewversion/?state=in_review")
        page.get_by_role("link", name="driver_hourly@1.0.0").click()
        expect(page.get_by_role("heading", name="Your decision")).to_be_visible()
        page.keyboard.press("a")
        expect(page.get_by_role("button", name="Approve")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_text("Your approval of driver_hourly@1.0.0 is recorded")).to_be_visible()

    until(lambda: story.stores["ana"].get_feature_view("driver_hourly")["default_version"])


def test_a_consumer_finds_it_asks_for_leave_and_reads(story):
    page = story.page_of("cora")
    page.goto("/catalogue")
    expect(page.get_by_role("searchbox").first).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("avg daly trips")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="avg_daily_trips").first.click()
    expect(page.get_by_text("Trips of the day before").first).to_be_visible()

    cora = story.stores["cora"]
    with pytest.raises(client_errors.AssayError, match="driver_hourly@1.0.0:avg_daily_trips"):
        trips(cora)
    asked = cora.ask_for_grant(
        feature_view="driver_hourly",
        purpose="shifts of the next day",
        ends_at=datetime.now(UTC) + timedelta(days=30),
    )
    assert (asked["state"], asked["user"]) == ("asked", "cora")
    with pytest.raises(client_errors.AssayError):
        cora.give_grant(asked["id"])
    story.stores["sam"].give_grant(asked["id"], comment="fine for a month")
    assert trips(cora) == 6


def test_an_auditor_sees_who_did_what_and_takes_it_along(story):
    page = story.page_of("audrey")
    page.goto("/admin/registry/auditentry/")
    expect(page.get_by_text("sam").first).to_be_visible()

    taken = io.BytesIO()
    story.stores["audrey"].export_audit(taken, format="csv")
    rows = list(csv.DictReader(io.StringIO(taken.getvalue().decode())))
    verbs = [row["verb"].partition(".") for row in rows]
    decided = ("submitted", "rejected", "approved", "promoted")
    of_version = [verb for kind, _, verb in verbs if kind == "feature_view_version"]
    assert [verb for verb in of_version if verb in decided] == [
        "submitted", "rejected", "submitted", "approved", "approved", "promoted",
    ]  # fmt: skip
    assert [verb for kind, _, verb in verbs if kind == "read_grant"] == ["asked", "given"]
