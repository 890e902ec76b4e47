"""What the groups of calls share: the transport and reading of pages.
Not for calls themselves; FeatureStore is put together from those groups.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from assay.errors import Invalid
from assay.shapes import JSON, Listed
from assay.transport import LOOK_TIMEOUT_SECONDS, Query, Transport

PAGE_SIZE = 100


class Calls:
    """Base of the groups of calls; holds nothing but the transport."""

    _transport: Transport

    def _get(self, *parts: str, query: Query | None = None) -> Any:
        return self._transport.get(self._transport.project_path(*parts), query)

    def _post(self, *parts: str, value: JSON, query: Query | None = None) -> JSON:
        path = self._transport.project_path(*parts)
        answer: JSON = self._transport.post(path, value, query)
        return answer

    def _post_to_look(self, *parts: str, value: JSON, query: Query | None = None) -> JSON:
        """Post what has the server look at sources, which takes as long as those do."""
        path = self._transport.project_path(*parts)
        wait = LOOK_TIMEOUT_SECONDS
        answer: JSON = self._transport.post(path, value, query, read_timeout_seconds=wait)
        return answer

    def _send(self, what: str, query: JSON, body: bytes, kind: str) -> JSON:
        """Post the bytes of a file, of the media type ``kind``."""
        path = self._transport.project_path(what)
        headers = {"Content-Type": kind}
        answer = self._transport.request("POST", path, query=query, body=body, headers=headers)
        found: JSON = answer.json()
        return found

    def _list(self, *parts: str, query: Query | None = None, limit: int | None = None) -> Listed:
        """Read pages of the project until they end, or until ``limit`` objects have arrived."""
        return self._list_at(self._transport.project_path(*parts), query=query, limit=limit)

    def _list_at(
        self, path: str, *, query: Query | None = None, limit: int | None = None
    ) -> Listed:
        """Read pages of whatever is at a path, as ``_list`` does."""
        first, rows = self._listed(path, query, limit)
        return Listed(rows, first.get("count"))

    def _listed(
        self, path: str, query: Query | None, limit: int | None
    ) -> tuple[JSON, Iterator[JSON]]:
        """Read the first page, and give it beside all rows: the others are asked for with them."""
        pages = self._pages(path, query, limit)
        first = next(pages)
        rows = chain.from_iterable(page["results"] for page in chain([first], pages))
        return first, islice(rows, limit)

    def _list_of(
        self, what: str, feature_view: str | None, status: str | None, limit: int | None
    ) -> Listed:
        """Read what there is of one view, or of all, in one status or in any."""
        return self._list(what, query={"feature_view": feature_view, "status": status}, limit=limit)

    def _pages(self, path: str, query: Query | None, limit: int | None) -> Iterator[JSON]:
        """Read pages, each when it is asked for: the first, and those that follow until they end.

        :raises Invalid: at once, where ``limit`` is less than one row.
        """
        if limit is not None and limit < 1:
            raise Invalid(f"limit is {limit}; it must be 1 or more", limit=limit)
        return self._following(path, {**(query or {}), "limit": min(limit or PAGE_SIZE, PAGE_SIZE)})

    def _following(self, path: str, query: dict[str, Any]) -> Iterator[JSON]:
        # Pages are counted here, not followed by their `next` link: behind a proxy that link can
        # name a host this client does not know, and the token must not go there.
        offset = 0
        while True:
            page = self._transport.get(path, {**query, "offset": offset})
            yield page
            offset += len(page["results"])
            if not page.get("next") or not page["results"]:
                return
