"""Rows of a query one after the other, without reading all and without a cursor left open."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import QuerySet

Row = TypeVar("Row")


def in_batches(rows: QuerySet[Any, Row], size: int) -> Iterator[Row]:
    """Yield the rows of an ordered query, ``size`` at a time as they are asked for.

    For whoever stops early inside a transaction: PostgreSQL keeps the cursor of ``iterator`` open
    until Python lets go of it, and closing one that a rollback took along ends the transaction.
    """
    for start in count(0, size):
        batch = list(rows[start : start + size])
        yield from batch
        if len(batch) < size:
            return
