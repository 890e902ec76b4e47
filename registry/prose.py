"""What people write in Markdown, shown without any of it becoming the page's own.

No HTML of theirs passes, no picture is fetched from elsewhere, and links lead to the web, to a
mailbox or within these pages. Not for plain words: those are escaped by the template.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.utils.html import format_html
from django.utils.safestring import mark_safe
from markdown_it import MarkdownIt

from lib.errors import UNSEEN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.utils.safestring import SafeString
    from markdown_it.token import Token

#: Longer texts, and those of more brackets, are shown as they are written: to find out what each
#: bracket opens takes a time that grows with the square of them.
MAX_LENGTH, MAX_BRACKETS = 10_000, 1_000
_LINKS = re.compile(r"https?://|mailto:|/(?!/)|#", re.IGNORECASE)


@lru_cache(maxsize=256)
def rendered(text: str) -> SafeString:
    """Return Markdown as safe HTML; empty of nothing. What nobody would see stands as its code."""
    text = UNSEEN.sub(lambda sign: f"U+{ord(sign[0]):04X}", text.replace("\r\n", "\n"))
    if len(text) > MAX_LENGTH or sum(map(text.count, "[]*_`<")) > MAX_BRACKETS:
        return format_html('<pre class="as-said">{}</pre>', text)
    html: SafeString = mark_safe(_markdown.render(text))  # noqa: S308 - all HTML is the renderer's
    return html


def first_line(text: str, *, at_most: int = 200) -> str:
    """Return the beginning of a text, for lists."""
    line = next((each.strip(" #*>-") for each in text.splitlines() if each.strip()), "")
    return line if len(line) <= at_most else f"{line[: at_most - 1].rstrip()}…"


def _make() -> MarkdownIt:
    markdown = MarkdownIt("js-default", {"html": False, "linkify": False, "typographer": False})
    markdown.disable(["image", "html_block", "html_inline"])
    markdown.validateLink = lambda url: bool(_LINKS.match(url.strip()))  # type: ignore[method-assign]
    for name in ("heading_open", "heading_close"):
        markdown.add_render_rule(name, _below_the_page)
    markdown.add_render_rule("link_open", _leading_away)
    return markdown


def _below_the_page(
    renderer: Any, tokens: Sequence[Token], place: int, options: Any, env: Any
) -> str:
    """A text's headings stand below those of the page that shows it."""
    token = tokens[place]
    if len(token.tag) == 2:
        token.tag = f"h{min(6, int(token.tag[1]) + 3)}"
    return str(renderer.renderToken(tokens, place, options, env))


def _leading_away(
    renderer: Any, tokens: Sequence[Token], place: int, options: Any, env: Any
) -> str:
    tokens[place].attrSet("rel", "noopener noreferrer nofollow ugc")
    tokens[place].attrSet("class", "as-link")
    return str(renderer.renderToken(tokens, place, options, env))


_markdown = _make()
