"""Template tags of the admin's pages; thin names for ``registry.markup`` and ``trail.deeds``."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django import template
from django.conf import settings
from django.contrib.admin import site
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.timesince import timesince

from registry import markup
from registry.choices import Standing, State
from registry.news import unread_of
from registry.passages import place_of
from registry.service_health import Health
from registry.trail import deeds

if TYPE_CHECKING:
    from django.db.models.options import Options
    from django.template import Context

#: What is written with a low line where programs read it.
WORDS = frozenset({*State, *Standing, *Health})

register = template.Library()
register.simple_tag(markup.badge, name="badge")
register.filter("utc", markup.utc)
register.filter("plain", markup.plain)
register.filter("breakable", markup.breakable)
register.filter("visible", markup.visible)
register.filter("value", markup.value)
register.filter("deed", deeds.deed_of)
register.filter("deed_subject", deeds.subject_of)
register.filter("deed_icon", deeds.icon_of)
register.filter("is_outcome", deeds.is_outcome)
register.simple_tag(markup.link, name="object_link")


@register.filter
def thousands(value: Any) -> str:
    """Write a whole number with separators: 1234567 is 1,234,567."""
    return f"{value:,}" if isinstance(value, int) else "–"


@register.filter
def say(word: str) -> str:
    """Write a word of ours as people do: ``in_review`` is "in review"; names stay as they are."""
    return word.replace("_", " ") if word in WORDS else word


@register.filter
def percent(value: float) -> str:
    return f"{value * 100:.0f}"


@register.filter
def ago(at: datetime | None, now: datetime) -> str:
    """Say how long before ``now`` an instant was, in its largest unit."""
    if at is None:
        return "–"
    return f"{timesince(at, now, depth=1)} ago" if now - at >= timedelta(minutes=1) else "just now"


@register.filter
def instant(text: str | None) -> datetime | None:
    """Read back an instant that a packet keeps as text."""
    return datetime.fromisoformat(text) if text else None


@register.simple_tag(takes_context=True)
def unread_count(context: Context) -> int:
    """Return how many notifications the person has not read; asked once a page."""
    return unread_of(context["request"])


@register.simple_tag(takes_context=True)
def threads_on(context: Context, key: str, line: Any) -> list[Any]:
    """Return what is said of a line of the page's version."""
    threads: dict[Any, list[Any]] = context["threads"] or {}
    return threads.get(place_of(key, line), [])


@register.simple_tag(takes_context=True)
def error_page(context: Context, icon: str, title: str, words: str) -> str:
    """Return a whole page that says what could not be shown, for staff in the admin's frame."""
    request, page = context["request"], {"icon": icon, "title": title, "words": words}
    if not site.has_permission(request):
        return render_to_string("registry/admin/bare_error.html", page)
    return render_to_string("registry/admin/error.html", site.each_context(request) | page, request)


@register.simple_tag
def changelist_url(opts: Options[Any]) -> str:
    return reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")


@register.simple_tag
def page_name(opts: Options[Any]) -> str:
    """Return what the menu calls the list of a model: a trail leads back to those words."""
    return page_at(changelist_url(opts), capfirst(opts.verbose_name_plural))


@register.simple_tag
def page_at(url: object, title: object) -> str:
    """Return what the menu calls the page at ``url``; else ``title``."""
    for group in settings.UNFOLD["SIDEBAR"]["navigation"]:
        for item in group["items"]:
            if str(item["link"]).partition("?")[0] == str(url or ""):
                return str(item["title"])
    # An object is called what it is called; all else is words, and a heading.
    return str(title) if str(url or "").endswith("/change/") else capfirst(str(title))
