"""Template tags of the admin's pages; thin names for ``registry.markup``."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django import template
from django.urls import reverse
from django.utils.timesince import timesince

from registry import markup

if TYPE_CHECKING:
    from django.db.models.options import Options

    from registry.models import AuditEntry

register = template.Library()
register.simple_tag(markup.badge, name="badge")
register.filter("utc", markup.utc)
register.filter("plain", markup.plain)
register.simple_tag(markup.link, name="object_link")


@register.filter
def thousands(value: Any) -> str:
    """Write a whole number with separators: 1234567 is 1,234,567."""
    return f"{value:,}" if isinstance(value, int) else "–"


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


@register.filter
def deed(entry: AuditEntry) -> str:
    """Say an entry's verb in words: ``feature_view_version.approved`` is "approved"."""
    subject, _, verb = entry.verb.partition(".")
    if entry.verb in DEEDS:
        role = entry.after or entry.before
        # An entry is for ever: one that lacks a word still has to be shown.
        return DEEDS[entry.verb].format_map(
            defaultdict(str, role if isinstance(role, dict) else {})
        )
    return NAMED.get(subject, "{}").format(verb.replace("_", " "))


@register.filter
def trail_icon(entry: AuditEntry) -> str:
    return TRAIL_ICONS.get(entry.verb.partition(".")[2], "history")


#: What the verb alone would say wrongly: who acts, or on what.
DEEDS = {
    "access.denied": "was refused",
    "membership.granted": "made {user} {role} of",
    "membership.revoked": "took the role {role} from {user} in",
    "training_set.read": "read a training set of",
    "materialization_run.succeeded": "has what was asked for:",
    "materialization_run.failed": "did not get what was asked for:",
    "materialization_run.errored": "did not get what was asked for:",
    "materialization_run.requeued": "queued again",
}
#: Subjects whose label does not say what they are.
NAMED = {"schedule": "{} the schedule", "api_token": "{} the token", "user": "{} the account"}
#: Material symbols by what happened.
TRAIL_ICONS = {
    "drafted": "edit_note", "edited": "edit_note", "created": "add_circle", "updated": "edit",
    "submitted": "send", "withdrawn": "undo", "approved": "check_circle", "rejected": "cancel",
    "promoted": "star", "deprecated": "hourglass_bottom", "restored": "restore", "retired": "block",
    "granted": "person_add", "revoked": "person_remove", "issued": "key", "denied": "gpp_bad",
    "requested": "play_circle", "succeeded": "task_alt", "failed": "error", "errored": "error",
    "changed": "tune",
}  # fmt: skip


@register.simple_tag
def changelist_url(opts: Options[Any]) -> str:
    return reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")
