"""A second person's word on a proposal: accepted and performed, refused, or taken back.

Not for making one: the operation that wants the change does, by ``people.proposing``.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User
from django.db import transaction

from lib.errors import Conflict, Forbidden, Invalid
from registry import access, audit, epoch, locks
from registry.accounts.voices import require_own_voice
from registry.choices import AccountKind, ProposalKind, ProposalState, Role
from registry.lifecycle import CommentNeeded
from registry.models import Membership, Project, Proposal
from registry.operations.people import members, passwords, projects, users
from registry.operations.registration import roots
from registry.proposals import (
    could_agree,
    require_manager,
    state_of,
    without_words,
    words_for_trail,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from registry.models import ApiToken


MAX_COMMENT = 2000


class BadProposalComment(Invalid):
    code = "invalid_comment"


class ProposalOver(Conflict):
    code = "proposal_over"


class ProposalOutdated(Conflict):
    code = "proposal_outdated"


class SecondPersonNeeded(Forbidden):
    code = "second_person_needed"


class NotYourProposal(Forbidden):
    code = "not_your_proposal"


def accept_proposal(
    *,
    proposal: Proposal,
    actor: User,
    at: datetime,
    comment: str = "",
    token: ApiToken | None = None,
) -> Proposal:
    """Agree to a proposal and do at once what it says, checked against what is so by now.

    :raises ActionNotPermitted: the actor, or by now the proposer, may not do such a thing.
    :raises SecondPersonNeeded: the actor proposed it, it is about them, or they are the proposer's
        hand. :raises TokenMayNotDecide, PasswordNotYourOwn: it is not surely the actor's own word.
    :raises ProposalOver: somebody decided, or its time is over.
    :raises ProposalOutdated: what it would change is not what it was.
    """
    require_manager(actor, proposal)
    with _held(proposal):
        actor = _acting(proposal, actor, token)
        _take(proposal, ProposalState.ACCEPTED, actor, at, comment)
        if actor not in could_agree(proposal):
            raise SecondPersonNeeded(
                f"{actor} cannot agree to {proposal}: it takes another person than"
                f" {proposal.proposed_by}, whom it is not about and who has their rights not from"
                f" {proposal.proposed_by} alone.",
                **_of(proposal),
            )
        proposer = User.objects.get(pk=proposal.proposed_by_id)
        require_manager(proposer, proposal)
        _record("accepted", proposal, actor, at, comment)
        PERFORMED[ProposalKind(proposal.kind)](proposal, proposer, actor, at)
        _forget(proposal)
    proposal.refresh_from_db()
    return proposal


def refuse_proposal(
    *,
    proposal: Proposal,
    actor: User,
    at: datetime,
    comment: str = "",
    token: ApiToken | None = None,
) -> Proposal:
    """Say no to a proposal, with a reason; whoever made it takes it back instead."""
    require_manager(actor, proposal)
    if not comment.strip():
        raise CommentNeeded(f"refusing {proposal} needs a comment: say why.")
    with _held(proposal):
        actor = _acting(proposal, actor, token)
        _take(proposal, ProposalState.REFUSED, actor, at, comment)
        _record("refused", proposal, actor, at, comment)
        _forget(proposal)
    proposal.refresh_from_db()
    return proposal


def withdraw_proposal(
    *,
    proposal: Proposal,
    actor: User,
    at: datetime,
    comment: str = "",
    token: ApiToken | None = None,  # noqa: ARG001 - as the others: it only takes back
) -> Proposal:
    """Take back what one proposed.

    :raises NotYourProposal: somebody else made it; refuse it instead.
    """
    if proposal.proposed_by_id != actor.pk:
        raise NotYourProposal(
            f"{proposal.proposed_by} made {proposal}, and only they take it back; refuse it"
            " instead.",
            **_of(proposal),
        )
    with transaction.atomic():
        _take(proposal, ProposalState.WITHDRAWN, actor, at, comment)
        _record("withdrawn", proposal, actor, at, comment)
        _forget(proposal)
    proposal.refresh_from_db()
    return proposal


DECISIONS: dict[str, Callable[..., Proposal]] = {
    "accept": accept_proposal,
    "refuse": refuse_proposal,
    "withdraw": withdraw_proposal,
}


@contextmanager
def _held(proposal: Proposal) -> Iterator[None]:
    """Hold what is changed, in the order of ``locks``: projects before people, all or its own."""
    everywhere = proposal.kind != ProposalKind.ROLE and proposal.kind != ProposalKind.POLICY
    keys = list(Project.objects.values_list("pk", flat=True)) if everywhere else []
    if proposal.project_id is not None:
        keys = keys or [proposal.project_id]
    with transaction.atomic():
        epoch.hold(*keys)
        of_one = proposal.kind == ProposalKind.ROOT and proposal.project_id is not None
        with epoch.change(*([proposal.project_id] if of_one else keys)):
            locks.hold(User.objects.filter(pk=proposal.person_id or 0))
            yield


def _acting(proposal: Proposal, actor: User, token: ApiToken | None) -> User:
    """Return the actor as they are now, if the word is surely their own."""
    actor = access.reloaded(actor)
    require_manager(actor, proposal)
    project = proposal.project.name if proposal.project else ""
    require_own_voice(actor, token, project=project)
    return actor


def _take(
    proposal: Proposal, state: ProposalState, actor: User, at: datetime, comment: str
) -> None:
    """Decide on a proposal that is open, once.

    :raises ProposalOver: it is not; says what became of it.
    """
    if "\x00" in comment or len(comment) > MAX_COMMENT:
        raise BadProposalComment(f"a comment has at most {MAX_COMMENT} characters, and no NUL.")
    waiting = Proposal.objects.filter(
        pk=proposal.pk, state=ProposalState.PROPOSED, expires_at__gt=at
    )
    about = {"decided_by": actor, "decided_at": at, "comment": comment.strip()}
    if waiting.update(state=state, **about) != 1:
        proposal.refresh_from_db()
        raise ProposalOver(f"{proposal} is {state_of(proposal, at)}; propose it again if need be.")


def _forget(proposal: Proposal) -> None:
    """Keep of what was decided no password and no address: the account has them, or nobody."""
    change = without_words(proposal.change)
    Proposal.objects.filter(pk=proposal.pk).update(secret="", change=change)


def _of(proposal: Proposal) -> dict[str, str]:
    return {"project": proposal.project.name} if proposal.project else {}


def _record(what: str, proposal: Proposal, actor: User, at: datetime, comment: str) -> None:
    audit.record(
        actor=actor,
        verb=f"proposal.{what}",
        subject=proposal,
        after={"does": words_for_trail(proposal)},
        data={"comment": comment.strip(), "proposed_by": proposal.proposed_by},
        at=at,
    )


# --- What each kind does -------------------------------------------------------------------------


def _data(proposal: Proposal, acceptor: User) -> dict[str, Any]:
    return {"accepted_by": acceptor, "proposal": proposal.pk}


def _grant(proposal: Proposal, proposer: User, acceptor: User, at: datetime) -> None:
    project, person, role = _project(proposal), _person(proposal), Role(proposal.change["role"])
    if Membership.objects.filter(project=project, user=person, role=role).exists():
        raise ProposalOutdated(f"{person} is {role} of {project} already.")
    data = _data(proposal, acceptor)
    members.grant(project, person, role, proposer, at, accepted_by=acceptor, data=data)


def _loosen(proposal: Proposal, proposer: User, acceptor: User, at: datetime) -> None:
    project = _project(proposal)
    before, after = proposal.change["before"], proposal.change["after"]
    if any(getattr(project, column) != value for column, value in before.items()):
        raise ProposalOutdated(
            f"the policy of {project} is another than when {proposal} was made; propose it again."
        )
    projects.store_columns(project, after, proposer, at, data=_data(proposal, acceptor))


def _place(proposal: Proposal, proposer: User, acceptor: User, at: datetime) -> None:
    project = _project(proposal)
    roots.place_root(
        project=project, change=proposal.change, actor=proposer, at=at,
        data=_data(proposal, acceptor),
    )  # fmt: skip


def _open_account(proposal: Proposal, proposer: User, acceptor: User, at: datetime) -> None:
    stored, user = _person(proposal), _person(proposal)
    before, after = dict(proposal.change["before"]), dict(proposal.change["after"])
    known = {"kind": access.kind_of(stored)} | {
        name: getattr(stored, name) for name in before if name != "kind"
    }
    if any(known[name] != value for name, value in before.items()):
        raise ProposalOutdated(
            f"the account {stored} is another than when {proposal} was made; propose it again."
        )
    kind = AccountKind(after.pop("kind", known["kind"]))
    for name, value in after.items():
        setattr(user, name, value)
    data = _data(proposal, acceptor)
    if user.is_active != stored.is_active:
        users.store_active(user, proposer, at, active=user.is_active, data=data)
    users.store_account(stored, user, kind, [proposer, acceptor], at, data=data)


def _set_password(proposal: Proposal, proposer: User, acceptor: User, at: datetime) -> None:
    """Store the password as it was to be; until its owner changes it, it is the proposer's hand."""
    person = _person(proposal)
    passwords.require_login_allowed(person)
    person.password = Proposal.objects.values_list("secret", flat=True).get(pk=proposal.pk)
    User.objects.filter(pk=person.pk).update(password=person.password)
    data = _data(proposal, acceptor)
    passwords.note_password_changed(
        user=person, actor=proposer, at=at, accepted_by=acceptor, data=data
    )


def _person(proposal: Proposal) -> User:
    return User.objects.get(pk=proposal.person_id or 0)


def _project(proposal: Proposal) -> Project:
    return Project.objects.get(pk=proposal.project_id or 0)


PERFORMED: dict[ProposalKind, Callable[[Proposal, User, User, datetime], None]] = {
    ProposalKind.ROLE: _grant,
    ProposalKind.POLICY: _loosen,
    ProposalKind.ROOT: _place,
    ProposalKind.ACCOUNT: _open_account,
    ProposalKind.PASSWORD: _set_password,
}
