"""A feature's way through everybody's hands, in a real browser on a real server with its worker:
owners say who decides, an author defines it, a steward asks for a change, two decide, a consumer
finds it, asks about it and is given leave to read it, an auditor looks at who did what.

Not for the pages one by one (``tests/browser``) or for what the answers are (``test_golden_path``).
"""

from __future__ import annotations

import csv
import io
import re
import shutil
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from playwright.sync_api import expect, sync_playwright

from assay import FeatureStore
from assay import errors as client_errors
from tests import servers
from tests.browser.conftest import ARGUMENTS, CHROMIUMS
from tests.factories import DEFINITIONS
from tests.journeys.test_golden_path import shell, token_of, trips, until, write_source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

#: Machines are busy.
expect.set_options(timeout=60_000)
pytestmark = [pytest.mark.journey, pytest.mark.browser]

#: Each has set their own password and may look at the admin, but the consumer is no staff. Stella
#: waits to be let in.
PEOPLE = """
from django.contrib.auth.models import User
from django.utils import timezone
from registry.choices import Role
from registry.operations.people import members, projects
from registry.operations.registration import roots
now = timezone.now()
def person(name, is_staff=True):
    return User.objects.create_user(name, password="pw", is_staff=is_staff)
first = person("root")
project = projects.create_project(name="rides", actor=first, at=now)
roots.assign_root(project=project, path={root!r}, actor=None, at=now)
roles = {{
    "olaf": Role.OWNER, "olga": Role.OWNER, "sam": Role.STEWARD, "ana": Role.AUTHOR,
    "cora": Role.CONSUMER, "audrey": Role.AUDITOR,
}}
person("stella")
with members.managing(project, first):
    for name, role in roles.items():
        user = person(name, is_staff=name != "cora")
        members.grant(project, user, role, first, now)
"""
#: How often a driver is hired is nobody's business without leave.
SECRET = DEFINITIONS.replace("sensitivity: internal", "sensitivity: confidential")

SENSITIVE_NEEDS = "Approvals with confidential or restricted features"
#: What the trail has of it, in this order.
DEEDS = """
    olaf proposal.made                      olaf project.changed
    olaf proposal.made                      olga proposal.accepted
    olga proposal.accepted                  olaf project.changed
    ana feature_view_version.submitted      sam feature_view_version.rejected
    ana feature_view_version.submitted      sam feature_view_version.approved
    stella feature_view_version.approved    cora question.asked
    cora read_grant.asked                   olaf read_grant.given
    olaf question.answered                  cora question.accepted
"""


class Story(NamedTuple):
    server: servers.Server
    stores: dict[str, FeatureStore]
    browser: Browser
    folder: Path
    pages: dict[str, Page]

    def page_of(self, name: str) -> Page:
        """Return the page of somebody, who logs in the first time."""
        if name in self.pages:
            return self.pages[name]
        page = self.browser.new_context(base_url=self.server.url).new_page()
        page.set_default_timeout(60_000)  # for a busy machine
        page.on("pageerror", lambda error: pytest.fail(f"{name} on {page.url}: {error}"))
        page.goto("/admin/")
        page.get_by_label("Username").fill(name)
        page.get_by_label("Password").fill(f"the own word of {name}")
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(re.compile(r"/(admin|catalogue)/(?!login)"))
        return self.pages.setdefault(name, page)

    def told(self, name: str, about: str) -> Page:
        """Return the page of somebody who followed what they were told of ``about``."""
        page = self.page_of(name)
        bell = page.get_by_role("link", name=re.compile("Notifications, [1-9]"))
        link = page.get_by_role("link", name=re.compile(about)).first

        def is_told() -> bool:
            """The sweep tells, after the deed: what was told before says nothing of this."""
            page.goto("/admin/registry/feature/")
            if not bell.count():
                return False
            bell.click()
            page.wait_for_url(re.compile("/notification/"))
            return link.count() > 0

        until(is_told)
        link.click()
        return page

    def project_of(self, name: str) -> Page:
        """Return the project's page, open for one of its owners."""
        page = self.page_of(name)
        page.goto("/admin/registry/project/")
        page.get_by_role("link", name="rides").first.click()
        return page

    def feature_of(self, name: str) -> Page:
        """Return the page of the feature, found by words with a typo."""
        page = self.page_of(name)
        page.goto("/catalogue")
        expect(page.get_by_role("searchbox").first).to_be_visible()
        page.keyboard.press("/")
        page.keyboard.type("avg daly trips")
        page.keyboard.press("Enter")
        page.get_by_role("link", name="avg_daily_trips").first.click()
        return page

    def define(self, text: str) -> None:
        path = self.folder / "features.yaml"
        path.write_text(text)
        self.stores["ana"].apply(str(path), submit=True)

    def assayed(self) -> Any:
        review = self.stores["ana"].review("driver_hourly")
        return review if review["evidence"]["status"] == "computed" else None


@pytest.fixture
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
        shell(server, PEOPLE.format(root=str(folder)))
        stores = {
            name: FeatureStore(url=server.url, token=token_of(server, name), project="rides")
            for name in ("olaf", "olga", "sam", "ana", "cora", "audrey", "stella")
        }
        browser = playwright.chromium.launch(executable_path=chromium, args=[*ARGUMENTS])
        yield Story(server, stores, browser, tmp_path_factory.mktemp("definitions"), {})
        browser.close()


def owners_let_a_steward_in_and_set_the_policy_by_two(story):
    page = story.project_of("olaf")
    page.get_by_label("Person or service account").fill("stella")
    page.get_by_label("Role", exact=True).select_option("steward")
    page.get_by_role("button", name="Grant").click()
    expect(page.get_by_text("Who could agree: olga, root")).to_be_visible()
    for wanted, said in ("3", "rides is changed."), ("2", "Who could agree: olga, root"):
        page.get_by_label(SENSITIVE_NEEDS).fill(wanted)
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text(said)).to_be_visible()
        expect(page.get_by_label(SENSITIVE_NEEDS)).to_have_value("3")  # stricter: at once

    for words in ("make stella steward of rides", "have rides ask for less"):
        page = story.project_of("olga")
        page.get_by_role("link", name=words).click()
        page.get_by_label("Comment").fill("as we said")
        page.get_by_role("button", name="Agree and do it").click()
        expect(page.get_by_text(f"Agreed, and done: {words}")).to_be_visible()
    page = story.project_of("olga")
    expect(page.get_by_label(SENSITIVE_NEEDS)).to_have_value("2")
    expect(page.get_by_role("row", name="stella steward olaf and olga")).to_be_visible()


def a_steward_asks_for_a_change_and_the_author_answers(story):
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

    page = story.told("ana", "driver_hourly@1.0.0")
    expect(page.get_by_text("Trips of which day? Say it.").first).to_be_visible()
    story.define(
        SECRET.replace(
            "sensitivity: confidential",
            "sensitivity: confidential, description: Trips of the day before",
        )
    )


def two_stewards_decide_by_keys_and_workers_do_the_rest(story):
    until(story.assayed)

    for name in ("sam", "stella"):
        page = story.told(name, "driver_hourly@1.0.0")
        expect(page.get_by_role("heading", name="Your decision")).to_be_visible()
        page.keyboard.press("a")
        expect(page.get_by_role("button", name="Approve")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_text("Your approval of driver_hourly@1.0.0 is recorded")).to_be_visible()

    until(lambda: story.stores["ana"].get_feature_view("driver_hourly")["default_version"])


def a_consumer_finds_it_asks_about_it_and_for_leave_to_read(story):
    with pytest.raises(client_errors.AssayError, match="driver_hourly@1.0.0:avg_daily_trips"):
        trips(story.stores["cora"])

    page = story.feature_of("cora")
    expect(page.get_by_text("Trips of the day before").first).to_be_visible()
    page.get_by_label("Ask those who know this feature").fill("Are shared rides counted?")
    page.get_by_role("button", name="Ask", exact=True).click()
    page.get_by_role("link", name="Ask for one").click()
    page.get_by_label("Purpose").fill("shifts of the next day")
    page.get_by_label("For how long").fill("30")
    page.get_by_role("button", name="Ask for it").click()
    expect(page.get_by_role("heading", name="Grant for cora asked")).to_be_visible()
    expect(page.get_by_role("button", name="Give")).to_be_hidden()
    with pytest.raises(client_errors.AssayError):
        trips(story.stores["cora"])


def an_owner_hears_of_it_gives_leave_and_answers(story):
    page = story.told("olaf", "asks for a grant:")
    page.get_by_label("Comment").fill("fine for a month")
    page.get_by_role("button", name="Give").click()
    expect(page.get_by_text("cora may read from now on.")).to_be_visible()
    assert trips(story.stores["cora"]) == 6

    page = story.feature_of("olaf")
    page.locator("summary", has_text="Answer").click()
    page.get_by_label("Answer, in Markdown").fill("Yes, **once** each.")
    page.get_by_role("button", name="Answer", exact=True).click()
    expect(page.get_by_text("Yes, once each.")).to_be_visible()


def the_consumer_hears_of_it_and_takes_the_answer(story):
    page = story.told("cora", "gave a grant:")
    expect(page.get_by_text("fine for a month")).to_be_visible()
    page = story.feature_of("cora")
    page.get_by_role("button", name="This answers it").click()
    expect(page.get_by_text("answered", exact=True)).to_be_visible()


def an_auditor_sees_who_did_what_and_takes_it_along(story):
    taken = io.BytesIO()
    story.stores["audrey"].export_audit(taken, format="csv")
    rows = csv.DictReader(io.StringIO(taken.getvalue().decode()))
    words = DEEDS.split()
    deeds = list(zip(words[::2], words[1::2], strict=True))
    verbs = {verb for _, verb in deeds}
    found = [(row["actor"], row["verb"]) for row in rows if row["verb"] in verbs]
    assert [deed for deed in found if deed[0] != "system"] == deeds

    page = story.page_of("audrey")
    for who, verb in set(deeds):
        page.goto(f"/admin/registry/auditentry/?verb={verb}")
        row = page.get_by_role("row").filter(has_text=verb)
        expect(row.filter(has_text=who).first).to_be_visible()


def test_the_whole_story(story):
    """One test: each part goes on where the one before left off, on one server."""
    owners_let_a_steward_in_and_set_the_policy_by_two(story)
    a_steward_asks_for_a_change_and_the_author_answers(story)
    two_stewards_decide_by_keys_and_workers_do_the_rest(story)
    a_consumer_finds_it_asks_about_it_and_for_leave_to_read(story)
    an_owner_hears_of_it_gives_leave_and_answers(story)
    the_consumer_hears_of_it_and_takes_the_answer(story)
    an_auditor_sees_who_did_what_and_takes_it_along(story)
