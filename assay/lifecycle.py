"""Calls that move a feature view's version through its lifecycle, and the evidence for review.
Not for deciding what is allowed: the server does, these only ask.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from assay.calls import Calls
from assay.errors import Invalid
from assay.notebooks import Review
from assay.references import split_reference
from assay.shapes import JSON

#: Versions that an error names.
MOST_NAMED = 10
#: Versions that are looked through for a mark, newest first.
MOST_LOOKED_THROUGH = 200
#: What each action starts from: who names no version means the one that is so.
STARTS_FROM = {
    "submit": "draft",
    "withdraw": "in_review",
    "approve": "in_review",
    "reject": "in_review",
    "review": "in_review",
    "break-glass": "in_review",
    "confirm": "marked by a broken glass",
    "object": "marked by a broken glass",
    "promote": "approved",
    "deprecate": "approved",
    "restore": "deprecated",
    "retire": "deprecated",
}


class LifecycleCalls(Calls):
    """Each takes ``view`` or ``view@version`` and answers the version as it is afterwards.

    Without a version, the only one that is in a state the action starts from.

    :raises Invalid: no version is named and not exactly one comes into question.
    :raises Forbidden: the user may not do this.
    :raises Conflict: the version is in another state.
    """

    def submit(
        self, reference: str, *, comment: str = "", reviewers: Sequence[str] | None = None
    ) -> JSON:
        """Send a draft to review, asked of these people; None: of those before, else its owner."""
        return self._transition("submit", reference, comment, reviewers=reviewers)

    def withdraw(self, reference: str, *, comment: str = "") -> JSON:
        return self._transition("withdraw", reference, comment)

    def approve(self, reference: str, *, packet_hash: str, comment: str = "") -> JSON:
        """Agree to exactly what ``review`` showed, whose ``packet_hash`` this is."""
        return self._transition("approve", reference, comment, packet_hash=packet_hash)

    def reject(self, reference: str, *, packet_hash: str, comment: str = "") -> JSON:
        """Send it back with a comment; ``packet_hash`` as in ``approve``."""
        return self._transition("reject", reference, comment, packet_hash=packet_hash)

    def break_glass(
        self, reference: str, *, packet_hash: str, comment: str, until: datetime | None = None
    ) -> JSON:
        """Approve in an emergency without the four eyes, ``comment`` says why; None: for a day.

        It is marked everywhere until somebody else confirmed it, and deprecated at its end if
        nobody did. ``packet_hash`` as in ``approve``.
        """
        end = until.isoformat() if until else ""
        return self._transition(
            "break-glass", reference, comment, packet_hash=packet_hash, until=end
        )

    def confirm(self, reference: str, *, packet_hash: str, comment: str = "") -> JSON:
        """Approve afterwards what somebody else approved by breaking the glass."""
        return self._transition("confirm", reference, comment, packet_hash=packet_hash)

    def object_to(self, reference: str, *, packet_hash: str, comment: str) -> JSON:
        """Object to what was approved by breaking the glass, which deprecates it; say why."""
        return self._transition("object", reference, comment, packet_hash=packet_hash)

    def promote(self, reference: str, *, comment: str = "", force: bool = False) -> JSON:
        """Make the version the default, the one that references without a version mean.

        ``force``, with a comment that says why, although it breaks feature services.
        """
        return self._transition("promote", reference, comment, force=force)

    def deprecate(
        self, reference: str, *, comment: str = "", until: datetime | None = None
    ) -> JSON:
        """Mark a version as on its way out; readers are told ``until`` when it answers."""
        end = until.isoformat() if until else ""
        return self._transition("deprecate", reference, comment, until=end)

    def restore(self, reference: str, *, comment: str = "") -> JSON:
        return self._transition("restore", reference, comment)

    def retire(self, reference: str, *, comment: str = "", force: bool = False) -> JSON:
        """End the version; ``force``, with a comment that says why, although it is used."""
        return self._transition("retire", reference, comment, force=force)

    def review(self, reference: str) -> Review:
        """Give the packet of evidence, the approvals so far and how many are required."""
        return Review(self._get(*self._version_path("review", reference)))

    def _transition(self, action: str, reference: str, comment: str, **options: object) -> JSON:
        given = {name: value for name, value in options.items() if value or value == []}
        body = {"comment": comment} | given
        post = self._post_to_look if action == "submit" else self._post
        return post(*self._version_path(action, reference), value=body)

    def _version_path(self, action: str, reference: str) -> tuple[str, ...]:
        name, version = split_reference(reference)
        return ("feature-views", name, "versions", version or self._only(action, name), action)

    def _only(self, action: str, name: str) -> str:
        state = STARTS_FROM[action]
        found = self._starting(action, name, state)
        if len(found) == 1:
            return str(found[0]["version"] or "draft")
        versions = self._list("feature-views", name, "versions", limit=MOST_NAMED + 1)
        named = [f"{v['version'] or 'draft'} ({v['state']})" for v in versions[:MOST_NAMED]]
        said = ", ".join(named) or "none"
        said += ", …" if len(versions) > MOST_NAMED else ""
        raise Invalid(
            f"to {action} {name} without naming a version, exactly one must be {state}; "
            f"name one as {name}@VERSION; there are: {said}",
            feature_view=name,
            versions=versions,
        )

    def _starting(self, action: str, name: str, state: str) -> list[JSON]:
        """Return versions that the action starts from: all of them, or two or more."""
        if action in ("confirm", "object"):
            # Of a view at most one glass waits to be looked at, whatever its version's state.
            known = self._list("feature-views", name, "versions", limit=MOST_LOOKED_THROUGH)
            marks = ((version, version["break_glass"]) for version in known)
            return [version for version, mark in marks if mark and not mark["verdict"]]
        # Of three at most one is the default: there are two others, or these are all.
        some = self._list("feature-views", name, "versions", query={"state": state}, limit=3)
        return [each for each in some if not (action == "promote" and each["default"])]
