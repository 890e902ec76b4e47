"""Calls about what a version's values look like, and how far they drift.
Not for runs: each has its own profile.
"""

from __future__ import annotations

from assay.calls import Calls
from assay.errors import Invalid
from assay.references import split_reference
from assay.shapes import JSON


class ProfileCalls(Calls):
    """Both take ``view@version``."""

    def profile(
        self, reference: str, *, feature: str | None = None, runs: int | None = None
    ) -> JSON:
        """Fetch ``baseline``, the ``profile`` of the latest runs together, and each of ``runs``."""
        query = {"feature": feature, "runs": runs}
        found: JSON = self._get(*_path(reference, "profile"), query=query)
        return found

    def set_baseline(self, reference: str, *, first_run: int, last_run: int, reason: str) -> JSON:
        """Take the rows of these runs as right: later ones are compared with them."""
        value = {"first_run": first_run, "last_run": last_run, "reason": reason}
        return self._post(*_path(reference, "baseline"), value=value)


def _path(reference: str, last: str) -> tuple[str, ...]:
    name, version = split_reference(reference)
    if version is None:
        raise Invalid(f"{reference!r} names no version; write VIEW@VERSION", reference=reference)
    return ("feature-views", name, "versions", version, last)
