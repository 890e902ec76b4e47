"""Small pieces of HTML that lists and pages share: badges, instants, links.

Not for the words on badges: each app registers the tones of its own, see its ``words``.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any

import msgspec
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe

from lib.errors import UNSEEN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from django.db.models import Model
    from django.utils.safestring import SafeString

#: Words up to so many characters stay on one line; longer ones may break at these places.
SHORT = 24
BREAKS = re.compile(r"(?<=[_/])(?=\w)|(?<=\w\.)(?=[a-z])|(?=@)")
WORD_BREAK = mark_safe("<wbr>")
#: The tones that ``admin.css`` has a colour for.
TONES = frozenset({"neutral", "accent", "good", "info", "warn", "bad"})

_tones: dict[str, str] = {}


def register_tones(tones: Mapping[str, str]) -> None:
    """Give words of an app the tone of their badges, when it starts; other words are neutral.

    :raises ValueError: no such tone, or a word that has another one already.
    """
    for word, tone in tones.items():
        if tone not in TONES:
            raise ValueError(f"badge {word!r}: no tone {tone!r}; valid: {', '.join(sorted(TONES))}")
        if _tones.setdefault(word, tone) != tone:
            raise ValueError(f"badge {word!r} is {_tones[word]} already and cannot be {tone} too")


def badge(word: str, text: str = "") -> SafeString:
    tone = _tones.get(word, "neutral")
    return format_html(
        '<span class="as-badge as-{}">{}</span>', tone, text or word.replace("_", " ")
    )


def badges(*words: str) -> SafeString:
    parts = [badge(word) for word in words if word]
    return (
        format_html('<span class="as-badges">{}</span>', format_html("{}" * len(parts), *parts))
        if parts
        else dash()
    )


def muted(words: str) -> SafeString:
    return format_html('<span class="as-muted">{}</span>', words)


def dash() -> SafeString:
    return muted("–")


def utc(at: datetime | None) -> SafeString:
    """Show an instant to the second, labelled UTC; ``times.js`` shows it in the viewer's zone.

    The title has the microseconds.
    """
    return _time(at, " ")


def utc_stacked(at: datetime | None) -> SafeString:
    """Show an instant as ``utc`` does, the time of day below the date: for crowded lists."""
    return _time(at, mark_safe("<br>"))


def _time(at: datetime | None, between: str) -> SafeString:
    if at is None:
        return dash()
    return format_html(
        '<time class="as-time" datetime="{}" title="{}">{}{}{} <small>UTC</small></time>',
        at.isoformat(),
        at.isoformat(),
        f"{at:%Y-%m-%d}",
        between,
        f"{at:%H:%M:%S}",
    )


def breakable(text: str) -> SafeString:
    """Let long identifiers and paths in ``text`` go on in the next line, between their parts only.

    Versions stay whole: ``1.0.0`` goes to the next line with its ``@``.
    """
    parts = (part for word in re.split(r"(\S+)", text) for part in _parts(word))
    return format_html_join("", "{}{}", ((visible(part), end) for part, end in parts))


def _parts(word: str) -> Iterator[tuple[str, SafeString | str]]:
    """Yield the parts of a word, each but the last with where the line may break after it."""
    *others, last = BREAKS.split(word) if len(word) > SHORT else [word]
    for part in others:
        yield part, WORD_BREAK
    yield last, ""


def link(obj: Model | None, text: str = "") -> SafeString:
    """Link to an object's page in the admin."""
    if obj is None:
        return dash()
    url = reverse(f"admin:{obj._meta.app_label}_{obj._meta.model_name}_change", args=[obj.pk])
    words = text or str(obj)
    whole = "" if len(words) > SHORT else " as-nowrap"
    return format_html('<a class="as-link{}" href="{}">{}</a>', whole, url, breakable(words))


def visible(text: str) -> SafeString:
    """Show text with each character that nobody would see as its code: it may turn others around,
    or make two texts look alike that are not."""
    text = str(text)
    if not UNSEEN.search(text):
        return format_html("{}", text)
    parts = (_seen(part) for part in re.split(f"({UNSEEN.pattern})", text.replace("\r\n", "\n")))
    return format_html_join("", "{}", ((part,) for part in parts))


def _seen(part: str) -> SafeString | str:
    if not UNSEEN.fullmatch(part):
        return part
    code, name = f"U+{ord(part):04X}", unicodedata.name(part, "a control character")
    return format_html('<span class="as-unseen" title="{}">{}</span>', name.lower(), code)


def value(found: Any) -> SafeString:
    """Show a value of data: that there is none looks like no text."""
    if found is None:
        return mark_safe('<span class="as-badge as-neutral">null</span>')
    return visible(str(found).lower() if isinstance(found, bool) else str(found))


def plain(value: Any) -> str:
    """Write any value for reading: text as it is, the rest as indented JSON."""
    if isinstance(value, str):
        return value
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def fallback(text: str) -> SafeString:
    """Show text, or a dash where there is none."""
    return format_html("{}", text) if text else dash()
