"""Audit entries in words: who did what to what, as a sentence for people.

Not for what changed: ``admin.audit.changed_values`` compares that.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from registry import verbs

if TYPE_CHECKING:
    from registry.models import AuditEntry

_ING = {
    "submit": "submitting", "withdraw": "withdrawing", "approve": "approving",
    "reject": "rejecting", "promote": "promoting", "deprecate": "deprecating",
    "restore": "restoring", "retire": "retiring",
}  # fmt: skip
#: What a refused request wanted, by its method and path; the first that fits.
ATTEMPTS = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"POST .*/feature-views/(\w+)/versions/([\w.]+)/(\w+)", "{2} {0}@{1}"),
        (r"GET .*/audit", "reading the audit trail"),
        (r".* .*/definitions", "registering definitions"),
        (r"POST .*/(materialize|materialize-incremental)", "starting a run"),
        (r"POST .*/runs/(\d+)/cancel", "cancelling run {0}"),
        (r"POST .*/materialize/\d+/", "starting a run"),
        (r"POST .*/materializationrun/(\d+)/cancel/", "cancelling run {0}"),
        (r"POST .*/materializationschedule/\d+/\w+/", "changing a schedule"),
        (r"POST .*/featureviewversion/\d+/act/ (\w+) (\S+)", "{0} {1}"),
        (r"POST .*/featureviewversion/\d+/act/", "a step of a version"),
        (r"POST .*/project/\d+/(grant|revoke)/", "changing who has which role"),
        (r"POST .*/project/\d+/edit/", "changing the project"),
        (r"POST .*/apitoken/add/", "issuing a token"),
        (r"POST .*/apitoken/\d+/revoke/", "revoking a token"),
        (r"POST .*/get-online-features", "reading online features"),
        (r"POST .*/get-historical-features", "reading a training set"),
    )
)


def deed_of(entry: AuditEntry) -> str:
    """Say an entry's verb in words: ``feature_view_version.approved`` is "approved"."""
    value = entry.after or entry.before
    # An entry is for ever: one that lacks a word still has to be shown.
    words = value if isinstance(value, dict) else {}
    return verbs.find(entry.verb).words.format_map(defaultdict(str, words))


def subject_of(entry: AuditEntry) -> str:
    """Say what an entry is about; a refused request as what it wanted, not as its path."""
    if entry.verb != "access.denied":
        return entry.subject_label
    for pattern, words in ATTEMPTS:
        if found := pattern.fullmatch(entry.subject_label):
            return words.format(*(_ING.get(group, group) for group in found.groups()))
    return entry.subject_label


def is_outcome(entry: AuditEntry) -> bool:
    return verbs.find(entry.verb).is_outcome


def icon_of(entry: AuditEntry) -> str:
    return verbs.find(entry.verb).icon
