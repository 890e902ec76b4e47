"""Calls about what the tables of a view take, and may take.
Not for single tables; the admin lists those.
"""

from __future__ import annotations

from assay.calls import Calls
from assay.references import view_alone
from assay.shapes import JSON

_ABOUT = "a budget is of"


class BudgetCalls(Calls):
    """Both take the name of a feature view."""

    def budget(self, feature_view: str) -> JSON:
        """Fetch the view's own ``limits``, who set them, and what it ``uses``."""
        found: JSON = self._get("feature-views", view_alone(feature_view, _ABOUT), "budget")
        return found

    def set_budget(self, /, feature_view: str, *, reason: str, **limits: int | None) -> JSON:
        """Say what a view may take: ``disk_mb``, ``online_keys`` and ``memory_mb``.

        0 is no limit, None what the server's settings say; one that is left out stays.
        """
        value = {**limits, "reason": reason}
        view = view_alone(feature_view, _ABOUT)
        return self._post("feature-views", view, "budget", value=value)
