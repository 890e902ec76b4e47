"""Calls about usage: who read which features, how often and how fast.
Not for who did what else; the trail says that.
"""

from __future__ import annotations

from collections.abc import Sequence

from assay.calls import Calls
from assay.references import view_of
from assay.shapes import JSON

#: What can be told apart.
BY = ("view", "version", "feature", "through", "service", "reader", "door", "day")


class UsageCalls(Calls):
    """Rows: dicts with what is told apart, and ``reads``, ``rows``, ``statuses``, ``seconds``."""

    def usage(
        self,
        reference: str | None = None,
        *,
        version: str | None = None,
        feature: str | None = None,
        state: str | None = None,
        service: str | None = None,
        reader: str | None = None,
        days: int | None = None,
        by: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> list[JSON]:
        """Add up the reads of ``days`` (30), the most first, apart by what ``by`` names.

        ``reference`` is a view, ``view@1.2.0`` or ``view:feature``; ``state`` is what versions are
        now, as ``deprecated``. Without the right to see the trail or to change the view it is your
        own reads. A read is here about a minute later.
        """
        view = None
        if reference is not None:
            named, colon, of_it = reference.partition(":")
            view, version = view_of(named, version)
            feature = of_it if colon else feature
        query = {
            "view": view,
            "version": version,
            "feature": feature,
            "state": state,
            "service": service,
            "reader": reader,
            "days": days,
            "by": ",".join(by) if by is not None else None,
        }
        return self._list("usage", query=query, limit=limit)
