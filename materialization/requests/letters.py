"""Dead letters as people see to them: one is read again, or dismissed with those alike.

Not for noting them (``materialization.streams.letters``): whoever reads a stream does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from django.db import transaction
from django.db.models import F

from lib.errors import Conflict
from materialization.choices import OPEN_LETTERS, LetterState
from materialization.models import DeadLetter
from materialization.requests.streams import reason_given
from registry import access, audit
from registry.choices import Right

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User
    from django.db.models import QuerySet

#: Letters that are dismissed at once, at most; who has more dismisses again.
MOST_AT_ONCE = 10_000


class LetterNotWaiting(Conflict):
    code = "dead_letter_not_waiting"


class LetterLeftBehind(Conflict):
    code = "dead_letter_left_behind"


class Dismissed(NamedTuple):
    """How many letters were dismissed, and how many alike wait still."""

    letter: DeadLetter
    dismissed: int
    still_alike: int


@transaction.atomic
def replay_letter(*, letter: DeadLetter, actor: User, at: datetime) -> DeadLetter:
    """Have the record of a dead letter read again: whoever reads the stream does, within seconds.

    One that was dismissed may be: who dismisses it by mistake takes that back so.

    :raises ActionNotPermitted: the actor may not start runs of the view.
    :raises LetterLeftBehind: the stream was read on elsewhere since.
    :raises LetterNotWaiting: it was asked for already, or taken.
    """
    view = letter.part.table.feature_view
    access.require(actor, Right.MATERIALIZE_FEATUREVIEW, view)
    if letter.is_left_behind:
        raise LetterLeftBehind(
            f"{letter} lies before the place from which the stream was read on: it is read again"
            " with all others from there, or not at all. To have it, read on from before it."
        )
    may_be = DeadLetter.objects.filter(
        pk=letter.pk,
        generation=F("part__generation"),
        state__in=(LetterState.WAITING, LetterState.DISMISSED),
    )
    dismissed = may_be.values_list("reason", flat=True).first()
    nobody = {"dismissed_at": None, "dismissed_by": None, "reason": ""}
    if not may_be.update(state=LetterState.ASKED, **nobody):
        raise _not_waiting(letter, "one that waits, or was dismissed, is read again")
    letter.refresh_from_db()
    audit.record(
        actor=actor,
        verb="dead_letter.replayed",
        subject=letter,
        project=view.project,
        data={"feature_view": view.name, "place": letter.place}
        | ({"dismissed": dismissed} if dismissed else {}),
        at=at,
    )
    return letter


@transaction.atomic
def dismiss_letters(
    *, letter: DeadLetter, alike: bool, actor: User, reason: str, at: datetime
) -> Dismissed:
    """Settle a dead letter without its record being taken, or all alike with it.

    Alike are those of the table's stream, whatever the partition, with its column and words;
    ``MOST_AT_ONCE`` of them, the oldest first.

    :raises ActionNotPermitted: the actor may not start runs of the view.
    :raises ReasonNeeded: there is no reason.
    :raises LetterNotWaiting: it was dismissed already, or taken.
    """
    view = letter.part.table.feature_view
    access.require(actor, Right.MATERIALIZE_FEATUREVIEW, view)
    said = reason_given(reason)
    settled = {
        "state": LetterState.DISMISSED,
        "dismissed_at": at,
        "dismissed_by": actor,
        "reason": said,
    }
    itself = DeadLetter.objects.filter(pk=letter.pk, state__in=OPEN_LETTERS)
    if not itself.update(**settled):
        raise _not_waiting(letter, "one that waits is dismissed")
    count = 1
    if alike:
        oldest = open_alike(letter).order_by("pk").values("pk")[: MOST_AT_ONCE - 1]
        count += open_alike(letter).filter(pk__in=oldest).update(**settled)
    letter.refresh_from_db()
    audit.record(
        actor=actor,
        verb="dead_letter.dismissed",
        subject=letter,
        project=view.project,
        # Letters give way to later ones; which they were is known by these.
        data={
            "feature_view": view.name,
            "place": letter.place,
            "column": letter.column,
            "words": letter.words,
            "count": count,
            "reason": said,
        },
        at=at,
    )
    return Dismissed(letter, count, open_alike(letter).count())


def open_alike(letter: DeadLetter) -> QuerySet[DeadLetter]:
    """Return letters of a letter's stream and table that are not taken for the same reason."""
    return DeadLetter.objects.filter(
        part__table=letter.part.table_id,
        part__stream=letter.part.stream,
        column=letter.column,
        words=letter.words,
        state__in=OPEN_LETTERS,
    )


def _not_waiting(letter: DeadLetter, valid: str) -> LetterNotWaiting:
    letter.refresh_from_db(fields=["state"])
    return LetterNotWaiting(f"{letter} is {letter.state} by now; {valid}.")
