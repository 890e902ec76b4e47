"""Waking a worker when what searches look through is older than what is stored.

Not for building it: ``runner.indexing`` does, in a worker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materialization import tasks
from materialization.vector_indexes import being_indexed, tables_at_rest, unread_indexes

if TYPE_CHECKING:
    from datetime import datetime


def index_due(*, at: datetime) -> None:
    """Wake one worker at a time."""
    if being_indexed(at).exists():
        return
    if tables_at_rest(at).exists() or unread_indexes().exists():
        tasks.index_tables.delay()
