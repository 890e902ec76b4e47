"""Proposing what takes two people, where there are two.

Not for deciding on it: ``operations.deciding`` does, and performs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User

from lib.errors import Conflict
from registry import audit
from registry.accounts.passwords import has_anothers_password, require_own_password
from registry.choices import ProposalState
from registry.models import Proposal
from registry.proposals import OPEN_FOR, others_who_could, taken_away, words_for_trail

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

    from registry.choices import ProposalKind
    from registry.models import Project

#: Proposals of one person that may wait at once.
MOST_OPEN = 100


class ProposedAlready(Conflict):
    code = "proposed_already"


class SecondPersonTakenAway(Conflict):
    code = "second_person_taken_away"


class TooManyProposals(Conflict):
    code = "too_many_proposals"


def propose(
    *,
    kind: ProposalKind,
    change: dict[str, Any],
    actor: User,
    at: datetime,
    project: Project | None = None,
    person: User | None = None,
    secret: str = "",
) -> Proposal | None:
    """Have a change wait for a second person, in the caller's transaction.

    None: nobody else could agree. The caller makes the change at once, and its entry of the trail
    says that there was no second pair of eyes (``proposals.ALONE``).
    :raises ProposedAlready: somebody wants the same already; names the proposal.
    :raises SecondPersonTakenAway: nobody could because the actor shut them out a moment ago.
    :raises PasswordNotYourOwn: it is not surely the actor's own wish.
    """
    stored = User.objects.get(pk=actor.pk)
    name = project.name if project else ""
    if has_anothers_password(stored):
        require_own_password(stored, project=name)
    if not others_who_could(kind, project, proposer=actor, person=person):
        _require_none_taken_away(kind, project, actor, at)
        return None
    require_own_password(stored, project=name)
    Proposal.objects.filter(state=ProposalState.PROPOSED, expires_at__lte=at).update(secret="")
    waiting = Proposal.objects.filter(state=ProposalState.PROPOSED, expires_at__gt=at)
    if not secret:
        _require_new(waiting.filter(kind=kind, project=project, person=person), change)
    if waiting.filter(proposed_by=actor).count() >= MOST_OPEN:
        raise TooManyProposals(f"{MOST_OPEN} proposals of {actor} wait; withdraw some first.")
    proposal = Proposal.objects.create(
        kind=kind, project=project, person=person, change=change, secret=secret,
        proposed_by=actor, proposed_at=at, expires_at=at + OPEN_FOR,
    )  # fmt: skip
    audit.record(
        actor=actor,
        verb="proposal.made",
        subject=proposal,
        after={"does": words_for_trail(proposal)},
        at=at,
    )
    return proposal


def _require_none_taken_away(
    kind: ProposalKind, project: Project | None, actor: User, at: datetime
) -> None:
    """:raises SecondPersonTakenAway: the actor is alone because they made themselves so."""
    if taken_away(kind, project, proposer=actor, at=at):
        raise SecondPersonTakenAway(
            f"nobody is left who could agree, because {actor} took that from somebody in the"
            f" last {OPEN_FOR.days} days. Let them in again, or wait until that is over.",
            **({"project": project.name} if project else {}),
        )


def _require_new(waiting: QuerySet[Proposal], change: dict[str, Any]) -> None:
    """:raises ProposedAlready: one of those that wait says the same."""
    for known in waiting.order_by("id"):
        if known.change == change:
            raise ProposedAlready(
                f"{known} says so already and waits for a second person; it was made by"
                f" {known.proposed_by}."
            )
