"""The policy of our pages refuses nothing that they need: every page, its menus and its charts."""

from __future__ import annotations

import pytest

from tests.factories import make_version

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

LINKS = """() => [...document.querySelectorAll('a[href^="/admin/"]')]
  .map((link) => link.getAttribute("href").split(/[?#]/)[0])"""
#: Not pages: they end the log-in, or answer a form.
LEFT_OUT = ("/logout/", "/login/")


def kind_of(path):
    """Return what pages of one kind share: their path without the numbers in it."""
    return "/".join("N" if part.isdigit() else part for part in path.split("/"))


def test_no_page_asks_for_what_its_policy_refuses(login, cast):
    make_version(cast)
    page = login("superuser")
    waiting, seen = ["/admin/"], set()

    while waiting:
        path = waiting.pop()
        if kind_of(path) in seen or path.endswith(LEFT_OUT):
            continue
        seen.add(kind_of(path))
        page.goto(path)
        page.wait_for_load_state("load")
        waiting += page.evaluate(LINKS)
    # An expression in an attribute is evaluated: the menus of unfold still open.
    page.goto("/admin/")
    assert page.evaluate("document.body.innerHTML.includes('x-data')")
    page.goto("/api/docs")
    page.get_by_role("heading", name="Assay").wait_for()

    assert len(seen) > 20, sorted(seen)


def test_a_script_in_a_page_does_not_run(served, page):
    page = page.context.browser.new_page(base_url=served)  # what is refused here is meant to be
    page.goto("/admin/login/")
    page.evaluate("""() => { const script = document.createElement("script");
        script.textContent = "window.ran = true"; document.body.append(script); }""")

    assert page.evaluate("window.ran") is None
