"""Calls that find features, and what they come from and what reads them.
Not for describing what was found; that is catalogue.
"""

from __future__ import annotations

from typing import Any

from assay.calls import Calls
from assay.references import view_alone
from assay.shapes import JSON, Listed


class SearchCalls(Calls):
    def search_features(
        self, /, words: str = "", *, limit: int = 50, offset: int = 0, **filters: Any
    ) -> JSON:
        """Search the project's features: best matches first, typos and all.

        ``filters``: ``entity``, ``owner``, ``tag``, ``sensitivity``, ``type``, ``state``,
        ``freshness``. Answers ``{"count", "results", "facets", "guessed"}``: ``facets`` counts what
        each filter would leave, ``guessed`` has what was searched in place of words nothing has.
        """
        query = {"q": words or None, "limit": limit, "offset": offset, **filters}
        found: JSON = self._get("features", query=query)
        return found

    def get_feature(self, reference: str) -> JSON:
        """Give one feature whole: what it is made of, who reads it, its versions, what is like it.

        ``how_to_read`` has texts to copy.
        """
        feature: JSON = self._get("features", reference)
        return feature

    def get_lineage(
        self,
        kind: str,
        name: str,
        *,
        direction: str | None = None,
        depth: int | None = None,
        limit: int | None = None,
    ) -> Listed:
        """Give what something is made of (``upstream``) and what reads it, nearest first.

        ``kind`` is ``data-source``, ``column`` (``source.column``), ``feature-view``, ``feature``
        (``view:feature``) or ``feature-service``; ``distance`` is below zero upstream.
        """
        if kind == "feature-view":
            name = view_alone(name, "the lineage of a feature view is of", "the kind feature")
        query = {"direction": direction, "depth": depth}
        return self._list("lineage", kind, name, query=query, limit=limit)
