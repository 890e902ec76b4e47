"""Calls about what is wrong, and saying that one knows.
Not for where alerts are sent: the admin has the channels.
"""

from __future__ import annotations

from assay.calls import Calls
from assay.shapes import JSON, Listed

STATES = ("open", "acknowledged", "closed")


class AlertCalls(Calls):
    """Alerts: dicts with ``id``, ``kind``, ``severity``, ``state``, ``subject``, ``words``."""

    def alerts(
        self,
        *,
        state: str | None = None,
        kind: str | None = None,
        severity: str | None = None,
        limit: int | None = None,
    ) -> Listed:
        """List alerts, newest first; closed ones too unless ``state`` says which."""
        query = {"state": state, "kind": kind, "severity": severity}
        return self._list("alerts", query=query, limit=limit)

    def acknowledge_alert(self, alert_id: int) -> JSON:
        """Say that one knows of an alert; it stays open until its cause is gone."""
        return self._post("alerts", str(alert_id), "acknowledge", value={})
