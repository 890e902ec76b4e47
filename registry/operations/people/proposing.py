"""Proposing what takes two people, where there are two.

Not for deciding on it: ``operations.deciding`` does, and performs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lib.errors import Conflict
from registry import audit
from registry.choices import ProposalState
from registry.models import Proposal
from registry.proposals import OPEN_FOR, others_who_could, words_for_trail

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User

    from registry.choices import ProposalKind
    from registry.models import Project

#: Proposals of one person that may wait at once.
MOST_OPEN = 100


class ProposedAlready(Conflict):
    code = "proposed_already"


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
    """
    if not others_who_could(kind, project, proposer=actor, person=person):
        return None
    waiting = Proposal.objects.filter(state=ProposalState.PROPOSED, expires_at__gt=at)
    same = waiting.filter(kind=kind, project=project, person=person)
    for known in same.order_by("id"):
        if known.change == change and not secret:
            raise ProposedAlready(
                f"{known} says so already and waits for a second person; it was made by"
                f" {known.proposed_by}."
            )
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
