"""A real Chromium against a real server, and the database such tests can leave clean behind them.

Not for what needs no browser: the admin's rights are tested with Django's client.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect, sync_playwright

from tests import factories

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page

expect.set_options(timeout=60_000)  # for a busy machine

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
)


def is_refused(said: str) -> bool:
    """Tell whether the console says that our Content-Security-Policy kept something out."""
    return "Content Security Policy" in said


@pytest.fixture
def served(live_server) -> str:
    """The address of a live server."""
    return live_server.url


@pytest.fixture
def cast(served: str) -> factories.Cast:
    return factories.make_cast()


@pytest.fixture(scope="session")
def chromium() -> str:
    """The machine's Chromium; without one the test is skipped, with CI=true it fails."""
    found = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if found is None and os.environ.get("CI") == "true":
        pytest.fail("no chromium on this machine, and with CI=true the browser tests must run")
    return found or pytest.skip("no chromium on this machine")


@pytest.fixture
def page(chromium: str, served: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """An empty page. Errors, and what its policy refuses, fail the test at its end."""
    # Playwright's loop runs in this thread; what the test asks the database is not asynchronous.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    errors: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=[*ARGUMENTS])
        page = browser.new_page(base_url=served, viewport={"width": 1400, "height": 900})
        page.set_default_timeout(60_000)  # for a busy machine
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if is_refused(said.text) else None)
        yield page
        browser.close()
    assert errors == []


@pytest.fixture
def login(page: Page) -> Callable[[str], Page]:
    """Log somebody of the cast in through the form."""

    def as_(name: str) -> Page:
        page.context.clear_cookies()
        page.goto("/admin/")
        page.get_by_label("Username").fill(name)
        page.get_by_label("Password").fill("pw")
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("heading", name="Overview").wait_for()
        return page

    return as_
