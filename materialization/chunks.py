"""The chunks of a run, each computed, checked and committed by itself, one by one. [pure]

Not for where a run is cut (``runner.chunking``) or for storing one (``runner.storing``).
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from typing import TYPE_CHECKING, Any

import msgspec

from lib.decoding import converter
from materialization.windows import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Of these the chunks of a run each say the same, or count again what the one before did.
_NOT_ADDED = frozenset(
    {"parts", "parts_waiting", "parts_gone", "dropped_null_time", "placeholder_times", "copies"}
)


class Chunk(msgspec.Struct, frozen=True, omit_defaults=True):
    """What of a run's window lies between the chunk before and ``until``.

    ``expected`` is about how many rows of the source that are; None: nobody counted. ``counts`` is
    what was read and what became of it, as soon as it is computed. ``is_committed``: it had rows to
    commit, or a look that found none. ``seconds`` is what it took.
    """

    until: datetime
    expected: int | None = None
    counts: dict[str, Any] = {}
    stored_at: datetime | None = None
    is_committed: bool = False
    seconds: float = 0.0


read_chunks = converter(list[Chunk])


def written_chunks(chunks: Sequence[Chunk]) -> list[Any]:
    written: list[Any] = msgspec.to_builtins(list(chunks))
    return written


def window_of(run: Window, chunks: Sequence[Chunk], number: int) -> Window:
    """Return the window of the chunk at place ``number`` of a run's."""
    start = chunks[number - 1].until if number else run.start
    return Window(start, chunks[number].until)


def stored_until(chunks: Sequence[Chunk]) -> datetime | None:
    """Return up to where the run has stored; None before its first chunk is."""
    return max((each.until for each in chunks if each.stored_at is not None), default=None)


def committed_before(chunks: Sequence[Chunk], number: int) -> int | None:
    """Return the number of the commit before that of the chunk at place ``number``: one more."""
    before = [place + 1 for place, each in enumerate(chunks[:number]) if each.is_committed]
    return before[-1] if before else None


def staging_name(run_id: int) -> str:
    """Return under which name rows lie that are staged for a run's chunks to come."""
    return f"{run_id}-chunks"


def share_done(chunks: Sequence[Chunk], number: int, share: float) -> float:
    """Return how much of all is done with ``share`` of the chunk at place ``number``, 0 to 1."""
    weights = [each.expected for each in chunks]
    known = [1 if weight is None else max(weight, 1) for weight in weights]
    return (sum(known[:number]) + share * known[number]) / sum(known)


def totals(chunks: Sequence[Chunk]) -> dict[str, Any]:
    """Return the counts of all chunks together, for ``run.source_counts``.

    A row without a time belongs to no chunk and is counted by each, so it is taken once.
    """
    found: dict[str, Any] = {}
    again = 0
    for each in chunks:
        for name, value in each.counts.items():
            if value is None:
                found.setdefault(name, None)
            elif isinstance(value, bool | str) or found.get(name) is None:
                found[name] = value
            elif name in _NOT_ADDED or name == "parts_read":
                found[name] = max(found[name], value)
            else:
                found[name] += value
        again += each.counts.get("dropped_null_time", 0)
    if "rows_read" in found:
        found["rows_read"] -= again - found.get("dropped_null_time", 0)
    return found
