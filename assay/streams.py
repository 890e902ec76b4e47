"""Calls about streams that tables are fed from: how far each came, and what could not be taken.
Not for sending rows: ``push`` does, and whoever writes the stream.
"""

from __future__ import annotations

from assay.calls import Calls
from assay.shapes import JSON, Listed

STATES = ("waiting", "reading", "stopped")
LETTER_STATES = ("waiting", "asked", "taken", "dismissed")


class StreamCalls(Calls):
    """Partitions: dicts with ``id``, ``feature_view``, ``stream``, ``partition``, ``lag``."""

    def streams(self, *, state: str | None = None, limit: int | None = None) -> Listed:
        """List the partitions of streams, and how far the tables that they feed have come."""
        return self._list("streams", query={"state": state}, limit=limit)

    def read_on(self, part_id: int, place: int | str, *, reason: str) -> JSON:
        """Say where a partition is read on: an offset, ``"oldest"`` or ``"newest"``.

        What is read again is stored again; what is left out stays out.
        """
        value = {"place": place, "reason": reason}
        return self._post("streams", str(part_id), "read-on", value=value)

    def dead_letters(self, *, state: str | None = None, limit: int | None = None) -> Listed:
        """List records that could not be taken, newest first: where each lies, and why."""
        return self._list("dead-letters", query={"state": state}, limit=limit)

    def replay_dead_letter(self, letter_id: int) -> JSON:
        """Have a record read again, within seconds: it is taken if it can be by now."""
        return self._post("dead-letters", str(letter_id), "replay", value={})

    def dismiss_dead_letter(self, letter_id: int, *, reason: str, alike: bool = False) -> JSON:
        """Leave a record out for good; with ``alike`` all of its stream for its column and words.

        Answers how many were ``dismissed``, 10,000 at most, how many are ``still_alike`` and the
        ``letter``. One that is dismissed may still be replayed.
        """
        value = {"reason": reason, "alike": alike}
        return self._post("dead-letters", str(letter_id), "dismiss", value=value)
