"""Calls about what waits for review: the queue, who is asked, several approvals at once.
Not for one version's review or decision: ``lifecycle`` has those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from assay.calls import Calls
from assay.references import split_reference
from assay.shapes import JSON, Listed

TURNS = ("me", "mine", "overdue")


class ReviewCalls(Calls):
    """Reviews: dicts with ``view``, ``version``, ``class``, ``reasons``, ``packet_hash``, …"""

    def reviews(self, *, turn: str | None = None, limit: int | None = None) -> Listed:
        """List what waits, longest first: asked of ``me``, ``mine``, ``overdue``, or all."""
        return self._list("reviews", query={"for": turn}, limit=limit)

    def reviewers(self, reference: str) -> JSON:
        """Give who is asked to decide on ``view@version``, and who could be."""
        answer: JSON = self._get(*_version(reference), "reviewers")
        return answer

    def ask_reviewers(self, reference: str, reviewers: Sequence[str]) -> JSON:
        """Ask exactly these people to decide on ``view@version``; nobody: all who may."""
        return self._post(*_version(reference), "reviewers", value={"reviewers": list(reviewers)})

    def comments(self, reference: str, *, limit: int | None = None) -> Listed:
        """List what was said about ``view@version``, with what became of the lines it is on."""
        return self._list(*_version(reference), "comments", limit=limit)

    def comment(
        self,
        reference: str,
        body: str,
        *,
        path: str | None = None,
        line: int | None = None,
        side: str = "new",
        thread: int | None = None,
    ) -> JSON:
        """Say something about ``view@version``: on a line of a text, or answering a thread."""
        place = {"path": path, "line": line, "side": side} if path or line is not None else {}
        answered = {"thread": thread} if thread is not None else {}
        value = {"body": body} | place | answered
        return self._post(*_version(reference), "comments", value=value)

    def resolve_comment(self, reference: str, comment_id: int) -> JSON:
        """Settle the thread that begins with a comment."""
        path = *_version(reference), "comments", str(comment_id), "resolve"
        return self._post(*path, value={})

    def approve_together(self, packets: Mapping[str, str], *, comment: str = "") -> list[JSON]:
        """Approve patches, or versions of public features: ``view@version`` to its packet's hash.

        Each is an approval of its own: the answer says of each whether it is ``approved``, and of
        the others the ``code`` and ``detail`` of why not.
        """
        versions = [
            dict(zip(("view", "version"), split_reference(reference), strict=True))
            | {"packet_hash": packet_hash}
            for reference, packet_hash in packets.items()
        ]
        body = {"versions": versions, "comment": comment}
        results: list[JSON] = self._post("reviews", "bulk-approve", value=body)["results"]
        return results


def _version(reference: str) -> tuple[str, ...]:
    name, version = split_reference(reference)
    return ("feature-views", name, "versions", version or "draft")
