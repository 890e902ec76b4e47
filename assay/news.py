"""Calls about what one was told of, in every project, and what one wants to hear.
Not for alerts, which are a project's: ``alerts`` has those.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from assay.calls import PAGE_SIZE, Calls
from assay.shapes import JSON
from assay.transport import api_path


class NewsCalls(Calls):
    """Notifications: dicts with ``id``, ``kind``, ``project``, ``says``, ``at``, ``read_at``."""

    def notifications(self, *, unread: bool = False, limit: int | None = None) -> list[JSON]:
        """List what the account was told of, newest first."""
        found: list[JSON] = []
        query: dict[str, str | int] = {"unread": "true"} if unread else {}
        while limit is None or len(found) < limit:
            size = PAGE_SIZE if limit is None else min(PAGE_SIZE, limit - len(found))
            asked = query | {"limit": size, "offset": len(found)}
            page = self._transport.get(api_path("notifications"), asked)
            found += page["results"]
            if not page.get("next") or not page["results"]:
                break
        return list(islice(found, limit))

    def read_notifications(self, ids: Sequence[int] | None = None) -> int:
        """Say that these were read, or the newest 500 that were not; give how many that was."""
        value = {} if ids is None else {"ids": list(ids)}
        count: int = self._transport.post(api_path("notifications", "read"), value)["read"]
        return count

    def news_choice(self) -> JSON:
        """Give which ``kinds`` there are, which are ``muted``, and whether mails are sent."""
        answer: JSON = self._transport.get(api_path("notifications", "choice"))
        return answer

    def choose_news(self, *, muted: Sequence[str], by_mail: bool) -> JSON:
        value = {"muted": list(muted), "by_mail": by_mail}
        answer: JSON = self._transport.post(api_path("notifications", "choice"), value)
        return answer
