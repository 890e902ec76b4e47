"""Which media type a header asks for: weights first, then how exactly, then the order."""

from __future__ import annotations

import pytest

from lib.accepting import preferred

JSON, ARROW, CSV = "application/json", "application/vnd.apache.arrow.stream", "text/csv"
OFFERED = (JSON, ARROW, CSV)


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("text/csv", CSV),
        ("TEXT/CSV ; charset=utf-8", CSV),
        (f"{CSV};q=0.5, {ARROW}", ARROW),
        (f"{CSV};q=0.5, {ARROW};q=0.6, {JSON};q=0.1", ARROW),
        (f"{CSV}; Q=0.001, text/html", CSV),
        (f"{CSV},{JSON}", CSV),
        (f"*/*, {CSV}", CSV),
        ("text/html, application/xhtml+xml, */*;q=0.8", JSON),
        (f"text/html, {ARROW};q=0.7, */*;q=0.8", JSON),
        (f"{JSON};q=0, */*", ARROW),
        ("application/*;q=0.2, text/*;q=0.9", CSV),
        (f"*/*;q=0.1, application/*;q=0, {ARROW};q=0.3", ARROW),
        (f"{CSV};q=1.000", CSV),
    ],
)
def test_the_most_wanted_is_given(accept, chosen):
    assert preferred(accept, OFFERED) == chosen


@pytest.mark.parametrize(
    "accept",
    [
        "image/png",
        "text/*;q=0, application/*;q=0",
        "*/*;q=0",
        f"{CSV};q=2",
        f"{CSV};q=x",
        ",",
        "text",
    ],
)
def test_nothing_is_given_that_nobody_wants(accept):
    assert preferred(accept, OFFERED) is None
