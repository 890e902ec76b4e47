"""The numbers that order a table's rows where their times are equal: drawn, never given twice.

Not for windows or runs: a run keeps the number it drew (``runner.storing``), a push draws its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import F

from materialization.models import TableSequence

if TYPE_CHECKING:
    from registry.models import FeatureTable


@transaction.atomic
def draw_sequence(table: FeatureTable) -> int:
    """Return the table's next number: 1, 2, …, each greater than all that were drawn before.

    Whoever draws of the same table at the same time waits until this transaction ends, so draw in a
    short one; rolled back, the number was never drawn.
    """
    counter = TableSequence.objects.filter(table=table)
    # Written before it is read: the write takes the row's lock, and SQLite's too.
    if not counter.update(last=F("last") + 1):
        TableSequence.objects.get_or_create(table=table)
        counter.update(last=F("last") + 1)
    return counter.values_list("last", flat=True).get()
