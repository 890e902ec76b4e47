"""Audit entries in words: who did what to what, as a sentence for people.

Not for what changed: ``admin.audit.changed_values`` compares that.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from registry import verbs

if TYPE_CHECKING:
    from registry.models import AuditEntry


def deed_of(entry: AuditEntry) -> str:
    """Say an entry's verb in words: ``feature_view_version.approved`` is "approved"."""
    value = entry.after or entry.before
    # An entry is for ever: one that lacks a word still has to be shown.
    words = value if isinstance(value, dict) else {}
    return verbs.find(entry.verb).words.format_map(defaultdict(str, words))


def subject_of(entry: AuditEntry) -> str:
    """Say what an entry is about; a refused request as what it attempted, where that was noted."""
    attempt = entry.data.get("attempt") if entry.verb == "access.denied" else ""
    return attempt or entry.subject_label


def is_outcome(entry: AuditEntry) -> bool:
    return verbs.find(entry.verb).is_outcome


def icon_of(entry: AuditEntry) -> str:
    return verbs.find(entry.verb).icon
