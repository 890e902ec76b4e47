"""Markdown that people write: what is shown of it, and what never passes."""

from __future__ import annotations

import time

import pytest

from registry.prose import MAX_LENGTH, first_line, rendered


def test_markdown_is_shown():
    text = "# Spend\n\nIn *USD*, see [the guide](https://example.org/a?b=1&c=2).\n\n- `one`\n- two"

    assert rendered(text) == (
        "<h4>Spend</h4>\n<p>In <em>USD</em>, see"
        ' <a href="https://example.org/a?b=1&amp;c=2" rel="noopener noreferrer nofollow ugc"'
        ' class="as-link">the guide</a>.</p>\n<ul>\n<li><code>one</code></li>\n'
        "<li>two</li>\n</ul>\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "a <b onclick=alert(1)>b</b>",
        "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
        "<!-- --><svg/onload=alert(1)>",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](&#106;avascript:alert(1))",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "[x](vbscript:x)",
        "[x](//evil.example)",
        "[x][1]\n\n[1]: javascript:alert(1)",
        "<javascript:alert(1)>",
        "![x](https://evil.example/track.png)",
        '[x](https://a.example "a\\" onmouseover=alert(1)")',
        "```<script>\nx\n```",
        "`<script>`",
    ],
)
def test_nothing_of_it_becomes_the_pages_own(text):
    html = rendered(text).lower()

    for bad in ("<script", "<img", "<b ", "<iframe", "<svg", "href=\"javascript", "href=\"data",
                "href=\"vbscript", "href=\"//", "<!--"):  # fmt: skip
        assert bad not in html
    assert " onmouseover=" not in html.replace("&quot; onmouseover=", "")


@pytest.mark.parametrize("text", ["x" * 1_000_000, "[" * 20_000, "> " * 9_000, "*a " * 6_000])
def test_texts_of_any_size_are_shown_in_a_moment(text):
    began = time.monotonic()

    assert rendered(text)
    assert time.monotonic() - began < 10  # a runaway would take minutes


def test_a_text_beyond_the_limit_is_shown_as_it_is_written():
    assert rendered("*a*<b>" + " " * MAX_LENGTH).startswith('<pre class="as-said">*a*&lt;b&gt;')


def test_lists_show_the_first_line():
    assert first_line("\n## Spend\nmore") == "Spend"
    assert first_line("a" * 300, at_most=10) == "aaaaaaaaa…"
    assert first_line("") == ""


@pytest.mark.parametrize("text", ["[" * 9_000, "[a](" * 2_000, "*a_" * 3_000, "`" * 9_000])
def test_signs_that_would_take_long_to_pair_are_shown_as_they_are(text):
    assert rendered(text).startswith('<pre class="as-said">')


def test_what_nobody_would_see_stands_as_its_code():
    assert rendered("a\u202eb\r\nc [d](https://e.org/\u200b)").startswith("<p>aU+202Eb\nc <a")
    assert not set("\u202e\u200b\x1b") & set(rendered("\x1b[1m\u202e" + "`\u200b" * 5_000))
