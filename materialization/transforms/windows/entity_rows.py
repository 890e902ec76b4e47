"""All windows of one entity as a read of the online store makes them of what it found. [pure]

Not for the windows (``evaluation``) or for what is kept of an entity (``stores.events``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materialization.transforms.windows.evaluation import EntityWindows

if TYPE_CHECKING:
    from materialization.stores.events import EntityEvents, EventLayout
    from materialization.transforms.windows.arguments import WindowArguments


def entity_windows(made_of: WindowArguments, entity: EntityEvents, at: int) -> EntityWindows:
    """Return an entity's windows as of ``at`` (µs), by when all its events have to be known."""
    rows = {hop: kept.rows for hop, kept in entity.hops.items()}
    return EntityWindows(made_of, rows, entity.known, now=at)


def left_at(entity: EntityEvents, layout: EventLayout) -> int:
    """Return when (µs) the newest event leaves the longest window: from then on all are empty."""
    return entity.newest + layout.longest


def is_over(entity: EntityEvents, layout: EventLayout, at: int, ttl: int | None) -> bool:
    """Tell whether all windows have been empty for longer than the TTL (µs; None: for ever)."""
    return ttl is not None and left_at(entity, layout) + ttl < at
