"""Masks: forms of a column that tell less than its values, and may be less sensitive. [pure]

Not for making them of values (``materialization.transforms.masking``), nor for what is well
written (``reading.mask_rules``).
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal, TypeAlias

from lib.errors import Invalid
from registry.spec.base import Spec
from registry.spec.bounds import Bound, number

#: Keyed by a secret of the project: equal values are equal, and nothing else is told of them.
HASH: Literal["hash"] = "hash"


class Bucket(Spec, frozen=True):
    """Which stretch between edges a value is in; each begins with its lower edge.

    Edges are numbers or, as texts, days and instants.
    """

    bucket: tuple[Bound, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """What each stretch is called, in order: ``<18``, ``[18, 30)``, ``>=30``."""
        edges = [*map(_written, self.bucket)]
        between = [f"[{low}, {high})" for low, high in zip(edges, edges[1:], strict=False)]
        return (f"<{edges[0]}", *between, f">={edges[-1]}")


Mask: TypeAlias = Literal["hash"] | Bucket


class BadEdge(Invalid):
    code = "invalid_edge"


def edge_of(edge: Bound) -> Decimal | datetime:
    """Return an edge as what it can be compared as; an instant without a zone is UTC.

    :raises BadEdge, BadBound: it is no number, day or instant.
    """
    if not isinstance(edge, str):
        return number(edge)
    try:
        instant = datetime.fromisoformat(edge)
    except ValueError as exc:
        known = "write a number without quotes, or a day or instant as in 2026-01-31"
        raise BadEdge(f"{edge[:100]!r} is no edge; {known}.") from exc
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)


def mask_words(mask: Mask | None) -> str:
    """Say what a mask is, as in ``bucket of 4``."""
    if mask is None:
        return "none"
    return f"bucket of {len(mask.bucket) + 1}" if isinstance(mask, Bucket) else mask


def tells_more(old: Mask | None, new: Mask | None) -> bool:
    """Return whether ``new`` tells something of the values that ``old`` did not.

    A hash tells which are equal and a bucket which are greater: neither has what the other tells.
    """
    if old is None or old == new:
        return False
    if isinstance(old, Bucket) and isinstance(new, Bucket):
        return bool(set(map(edge_of, new.bucket)) - set(map(edge_of, old.bucket)))
    return True


def _written(edge: Bound) -> str:
    return str(int(edge)) if isinstance(edge, float) and edge.is_integer() else str(edge)
