"""The numbers that order a table's rows where their times are equal: drawn, never given twice.

Not for windows or runs: a run keeps the number it drew (``runner.storing``), and pushed rows have
those of a block that Redis counts in (``stores.push_log``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Greatest

from materialization.models import TableSequence

if TYPE_CHECKING:
    from registry.models import FeatureTable


def draw_sequence(table: FeatureTable) -> int:
    """Return the table's next number: 1, 2, …, each greater than all that were drawn before.

    Whoever draws of the same table at the same time waits until this transaction ends, so draw in a
    short one; rolled back, the number was never drawn.
    """
    return draw_sequences(table, 1)[-1]


@transaction.atomic
def draw_sequences(table: FeatureTable, count: int, *, behind: int = 0) -> range:
    """Return the table's next numbers, as many at once; see ``draw_sequence``.

    All are greater than ``behind``, which is known to have been given: the database may be older
    than what it gave, for it was restored.
    """
    counter = TableSequence.objects.filter(table=table)
    given = Greatest(F("last"), behind) + count
    # Written before it is read: the write takes the row's lock, and SQLite's too.
    if not counter.update(last=given):
        TableSequence.objects.get_or_create(table=table)
        counter.update(last=given)
    last = counter.values_list("last", flat=True).get()
    return range(last - count + 1, last + 1)
