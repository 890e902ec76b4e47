"""Masks: forms of a column that tell less than its values, and may be less sensitive. [pure]

Not for making them of values (``materialization.transforms.masking``), nor for what is well
written (``reading.mask_rules``).
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, TypeAlias

from lib.errors import Invalid
from registry.spec.base import Spec
from registry.spec.bounds import Bound, number

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Keyed, so that equal values of the same columns are equal; nothing else is told of them.
HASH: Literal["hash"] = "hash"


class MaskSpec(Spec, frozen=True):
    """One of two masks with a parameter.

    ``bucket``: which stretch between edges a value is in; each begins with its lower edge. Edges
    are numbers or, as texts, days and instants. ``hash``: a name that several features of a project
    may have; those hash alike, whatever their columns.
    """

    bucket: tuple[Bound, ...] | None = None
    hash: str | None = None


Mask: TypeAlias = Literal["hash"] | MaskSpec


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


def edges_of(mask: Mask | None) -> tuple[Bound, ...]:
    """Return the edges of a bucket; none of anything else."""
    return (mask.bucket or ()) if isinstance(mask, MaskSpec) else ()


def is_hash(mask: Mask | None) -> bool:
    return mask == HASH or (isinstance(mask, MaskSpec) and mask.hash is not None)


def shared_name(mask: Mask | None) -> str:
    """Return the name by which several features hash alike; empty: by their columns alone."""
    return (mask.hash or "") if isinstance(mask, MaskSpec) else ""


def labels(edges: Sequence[Bound]) -> tuple[str, ...]:
    """Return what each stretch is called, in order: ``<18``, ``[18, 30)``, ``>=30``."""
    written = [*map(_written, edges)]
    between = [f"[{low}, {high})" for low, high in pairwise(written)]
    return (f"<{written[0]}", *between, f">={written[-1]}")


def mask_words(mask: Mask | None) -> str:
    """Say what a mask is, as in ``bucket of 4``."""
    if mask is None:
        return "none"
    if is_hash(mask):
        return f"hash as {name}" if (name := shared_name(mask)) else "hash"
    return f"bucket of {len(edges_of(mask)) + 1}"


def tells_more(old: Mask | None, new: Mask | None) -> bool:
    """Return whether ``new`` tells something of the values that ``old`` did not.

    A hash tells which are equal and a bucket which are greater: neither has what the other tells.
    Hashes by another name can be compared with other columns'.
    """
    if old is None or old == new:
        return False
    if edges_of(old) and edges_of(new):
        return bool(set(map(edge_of, edges_of(new))) - set(map(edge_of, edges_of(old))))
    return True


def _written(edge: Bound) -> str:
    return str(int(edge)) if isinstance(edge, float) and edge.is_integer() else str(edge)
