"""Small pieces of HTML that lists and pages share: badges, instants, links.

Not for meaning: a badge's tone is a matter of looks, so words of every app stand here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from django.urls import reverse
from django.utils.html import format_html

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import Model
    from django.utils.safestring import SafeString

TONES: dict[str, str] = {
    # states of versions
    "draft": "neutral", "in_review": "warn", "approved": "good", "deprecated": "warn",
    "retired": "neutral", "default": "accent", "ready": "good", "not ready": "neutral",
    # change classes
    "major": "bad", "minor": "info", "patch": "neutral", "guard": "warn",
    # sensitivities
    "public": "good", "internal": "neutral", "confidential": "warn", "restricted": "bad",
    # verdicts and checks
    "rejected": "bad", "passed": "good",
    # runs and schedules
    "queued": "neutral", "running": "info", "succeeded": "good", "failed": "bad", "errored": "bad",
    "cancelled": "neutral", "on": "good", "paused": "neutral", "fresh": "good", "late": "warn",
    # tokens
    "live": "good", "expired": "neutral", "revoked": "bad",
    # what a feature or value is against the version before
    "new": "good", "changed": "info", "removed": "bad", "added": "good",
}  # fmt: skip


def badge(word: str, text: str = "") -> SafeString:
    tone = TONES.get(word, "neutral")
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


def dash() -> SafeString:
    return format_html('<span class="as-muted">{}</span>', "–")


def utc(at: datetime | None) -> SafeString:
    """Show an instant to the second, labelled UTC; the title has the microseconds."""
    if at is None:
        return dash()
    return format_html(
        '<time class="as-time" datetime="{}" title="{}">{} <small>UTC</small></time>',
        at.isoformat(),
        at.isoformat(),
        f"{at:%Y-%m-%d %H:%M:%S}",
    )


def link(obj: Model | None, text: str = "") -> SafeString:
    """Link to an object's page in the admin."""
    if obj is None:
        return dash()
    url = reverse(f"admin:{obj._meta.app_label}_{obj._meta.model_name}_change", args=[obj.pk])
    return format_html('<a class="as-link" href="{}">{}</a>', url, text or str(obj))


def plain(value: Any) -> str:
    """Write any value for reading: text as it is, the rest as indented JSON."""
    if isinstance(value, str):
        return value
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def brief(value: Any) -> str:
    """Write a value for comparing at a glance: one line a part, without quotes and brackets."""
    if isinstance(value, dict):
        return "\n".join(f"{key}: {_inline(part)}" for key, part in value.items())
    if isinstance(value, list) and any(isinstance(part, (dict, list)) for part in value):
        return "\n".join(f"- {_inline(part)}" for part in value)
    return _inline(value)


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key} {_inline(part)}" for key, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(_inline, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def fallback(text: str) -> SafeString:
    """Show text, or a dash where there is none."""
    return format_html("{}", text) if text else dash()
