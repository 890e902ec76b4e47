"""Calls about the audit trail: who did what.
Not for what somebody is refused now; errors say that.
"""

from __future__ import annotations

from typing import IO

from assay.calls import Calls
from assay.shapes import Listed


class TrailCalls(Calls):
    """Filters: ``verb`` and ``subject`` by how they begin, ``actor`` by user name, ``since`` and
    ``until`` as instants, ``request_id`` as an answer's header had it, ``q`` for words.
    """

    def audit(self, /, *, limit: int = 100, **filters: str | None) -> Listed:
        """Give the first ``limit`` entries of the project's trail, the newest first."""
        return self._list("audit", query=filters, limit=limit)

    def export_audit(
        self, /, into: IO[bytes], *, format: str = "jsonl", **filters: str | None
    ) -> None:
        """Write all of the project's trail that fits, the oldest entry first.

        ``format`` is ``jsonl`` or ``csv``. That somebody took it is in the trail as well.
        """
        path = self._transport.project_path("audit", "export")
        with self._transport.stream(path, query={"format": format, **filters}) as (_, chunks):
            for chunk in chunks:
                into.write(chunk)
