"""Dead letters: where records lie that were not taken, and why.

Each once, however often its record is read. Of a part as many are kept as are looked at; the oldest
give way, and are counted.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import F

from materialization.choices import LetterState
from materialization.models import DeadLetter, StreamPart

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

log = logging.getLogger(__name__)
_WORDS = 500


@transaction.atomic
def keep_letters(
    part: StreamPart, found: Sequence[tuple[int, str, str]], *, most: int, at: datetime
) -> None:
    """Note records of a part by place, column and words, and remove the oldest beyond ``most``."""
    if not found:
        return
    DeadLetter.objects.bulk_create(
        [
            DeadLetter(
                part=part,
                generation=part.generation,
                place=place,
                column=column[:200],
                words=words[:_WORDS],
                created_at=at,
            )
            for place, column, words in found
        ],
        ignore_conflicts=True,
    )
    kept = DeadLetter.objects.filter(part=part).order_by("-id")
    beyond = kept.values_list("pk", flat=True)[most : most + 1].first()
    if beyond is not None:
        removed, _ = kept.filter(pk__lte=beyond).delete()
        StreamPart.objects.filter(pk=part.pk).update(letters_removed=F("letters_removed") + removed)


def letters_asked(parts: Collection[int], *, most: int) -> list[DeadLetter]:
    """Return letters of these parts that somebody wants read again, the oldest first."""
    asked = DeadLetter.objects.filter(part__in=parts, state=LetterState.ASKED)
    return list(asked.select_related("part").order_by("pk")[:most])


def note_again(letter: DeadLetter, column: str, words: str) -> None:
    """Note that a record cannot be taken still, and why, unless somebody dismissed it since."""
    DeadLetter.objects.filter(pk=letter.pk, state=LetterState.ASKED).update(
        state=LetterState.WAITING, column=column[:200], words=words[:_WORDS]
    )


def is_asked(letter: DeadLetter) -> bool:
    """Tell whether it is to be read again still: somebody may have dismissed it meanwhile."""
    return DeadLetter.objects.filter(pk=letter.pk, state=LetterState.ASKED).exists()


def note_taken(letter: DeadLetter) -> None:
    """Note that its record was taken; who dismissed it in that moment came too late, and reads so.

    Their words are kept: the trail has the dismissal, and this what became of it.
    """
    found = DeadLetter.objects.filter(pk=letter.pk)
    if not found.filter(state=LetterState.ASKED).update(state=LetterState.TAKEN):
        log.warning("the record of %s was taken while somebody dismissed it", letter)
        found.update(state=LetterState.TAKEN)
