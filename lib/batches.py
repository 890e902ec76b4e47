"""Rows of a query one after the other, without reading all and without a cursor left open."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import Model, QuerySet

Row = TypeVar("Row")
M = TypeVar("M", bound="Model")


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


def in_key_order(rows: QuerySet[M], size: int, *, after: int = 0) -> Iterator[list[M]]:
    """Yield all rows by their key, ``size`` at a time, from behind ``after`` on.

    Each batch begins where the one before ended, so the last of millions costs what the first does.
    """
    while batch := list(rows.filter(pk__gt=after).order_by("pk")[:size]):
        yield batch
        after = cast("int", batch[-1].pk)
        if len(batch) < size:
            return
