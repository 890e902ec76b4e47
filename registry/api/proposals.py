"""Proposals over HTTP: what waits for a second person, and that person's word.

Those of a project for those who manage its members; all, and so those of accounts, for superusers.
Not for proposing: whoever changes an account does by ``accounts``, anything else in the admin.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar, TypedDict

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from lib.answer_schemas import Document, Instant, answers, pages
from lib.api import API, described
from lib.body_schemas import body_of
from lib.errors import NotFound
from lib.instants import timestamp
from lib.parameters import PAGE, one_of, paged
from registry import access
from registry.api.requests import CommentInput, read_comment
from registry.authentication import token_of
from registry.choices import ProposalKind, ProposalState, Right
from registry.operations.deciding import DECISIONS
from registry.proposals import could_agree, state_of, visible_proposals, words_of

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet
    from rest_framework.request import Request

    from registry.models import Project, Proposal


class ProposalNotFound(NotFound):
    code = "proposal_not_found"


class ProposalAnswer(TypedDict):
    """What takes two people: what it does, who proposed it, who could agree, what became of it."""

    id: int
    kind: str
    project: str | None
    does: str
    user: str | None
    change: Document
    state: str
    proposed_by: str
    proposed_at: Instant
    expires_at: Instant
    could_agree: list[str]
    decided_by: str | None
    decided_at: Instant | None
    comment: str


STATES = {"state": f"one of {', '.join(ProposalState)}"}


class ProposalsAPI(API):
    """What of a project takes two people, newest first; for those who manage its members."""

    attempt = "listing proposals"
    parameters: ClassVar[dict[str, str]] = {**STATES, **PAGE}

    @extend_schema(
        operation_id="list_proposals",
        parameters=described(parameters),
        responses=pages(ProposalAnswer),
    )
    def get(self, request: Request, project: str) -> Response:
        return _listed(request, _seen(request, access.access_project(request.user, project)))


class EveryProposalAPI(API):
    """What takes two people, newest first, of accounts and of all projects; for superusers."""

    attempt = "listing proposals of accounts"
    parameters: ClassVar[dict[str, str]] = {
        "kind": f"one of {', '.join(ProposalKind)}",
        **STATES,
        **PAGE,
    }

    @extend_schema(
        operation_id="list_every_proposal",
        parameters=described(parameters),
        responses=pages(ProposalAnswer),
    )
    def get(self, request: Request) -> Response:
        rows = _everywhere(request)
        if kind := one_of(request.query_params, "kind", ProposalKind):
            rows = rows.filter(kind=kind)
        return _listed(request, rows)


class ProposalStepAPI(API):
    """``POST {"comment"?}``: agree and have it done, refuse it, or take back one's own."""

    attempt = "deciding on proposal {proposal_id}"

    @extend_schema(
        operation_id="decide_on_proposal",
        request=body_of(CommentInput),
        responses=answers(ProposalAnswer),
    )
    def post(self, request: Request, project: str, proposal_id: int, step: str) -> Response:
        found = access.access_project(request.user, project)
        return _decided(request, _seen(request, found), proposal_id, step, where=f" in {found}")


class AnyProposalStepAPI(API):
    """The same for a proposal of an account or of any project; for superusers."""

    attempt = "deciding on proposal {proposal_id}"

    @extend_schema(
        operation_id="decide_on_any_proposal",
        request=body_of(CommentInput),
        responses=answers(ProposalAnswer),
    )
    def post(self, request: Request, proposal_id: int, step: str) -> Response:
        return _decided(request, _everywhere(request), proposal_id, step)


def _seen(request: Request, project: Project) -> QuerySet[Proposal]:
    """Return what may be seen as the request came: a token may be limited to other rights."""
    rows = visible_proposals(request.user).filter(project=project)
    return rows if access.can(request.user, Right.MANAGE_MEMBERS, project) else rows.none()


def _everywhere(request: Request) -> QuerySet[Proposal]:
    access.require_superuser(request.user)
    return visible_proposals(request.user)


def _listed(request: Request, rows: QuerySet[Proposal]) -> Response:
    if state := one_of(request.query_params, "state", ProposalState):
        rows = rows.filter(state=state)
    return paged(request, rows, partial(proposal_output, at=timezone.now()))


def _decided(
    request: Request, rows: QuerySet[Proposal], proposal_id: int, step: str, *, where: str = ""
) -> Response:
    now = timezone.now()
    proposal = rows.filter(pk=proposal_id).first()
    if proposal is None:
        raise ProposalNotFound(f"there is no proposal {proposal_id}{where} that you can see.")
    decided = DECISIONS[step](
        proposal=proposal,
        actor=access.acting_user(request),
        at=now,
        comment=read_comment(request).comment,
        token=token_of(request),
    )
    return Response(proposal_output(decided, at=now))


def proposal_output(proposal: Proposal, *, at: datetime) -> ProposalAnswer:
    decided_by = proposal.decided_by
    return {
        "id": proposal.pk,
        "kind": proposal.kind,
        "project": proposal.project.name if proposal.project else None,
        "does": words_of(proposal),
        "user": proposal.person.get_username() if proposal.person else None,
        "change": proposal.change,
        "state": state_of(proposal, at),
        "proposed_by": proposal.proposed_by.get_username(),
        "proposed_at": timestamp(proposal.proposed_at),
        "expires_at": timestamp(proposal.expires_at),
        "could_agree": [each.get_username() for each in could_agree(proposal)]
        if proposal.is_open(at)
        else [],
        "decided_by": decided_by.get_username() if decided_by else None,
        "decided_at": timestamp(proposal.decided_at),
        "comment": proposal.comment,
    }
