"""Asking now and then for the walk that gives rows of the online store their expiry.

Not for performing it: the store does, in a worker. Which rows are near their end: ``stores``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materialization import tasks
from materialization.edges.stores import online_store
from materialization.stores.online_protocol import EXPIRES_AHEAD

if TYPE_CHECKING:
    from datetime import datetime

#: Several times before a row that was passed over ends: the next makes up for a walk that died.
WALK_EVERY = EXPIRES_AHEAD / 8


def expiry_due(*, at: datetime) -> None:  # noqa: ARG001 - duties are all told the time
    """Wake a worker for a walk, if the last was long ago or its work was lost."""
    if online_store().claim_expiry(every=WALK_EVERY):
        tasks.expire_rows.delay()
