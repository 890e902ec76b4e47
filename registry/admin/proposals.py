"""Proposals: what decides who decides, waiting for a second person.

Not for making one: the pages of what would be changed do.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import display

from registry.access import acting_user
from registry.admin.attempts import attempt
from registry.admin.base import ScopedAdmin
from registry.admin.filters import column_filter
from registry.markup import badge, breakable, link, muted, utc
from registry.models import Proposal
from registry.operations.deciding import DECISIONS
from registry.proposals import (
    could_agree,
    open_proposals,
    state_of,
    visible_proposals,
    words_of,
)

if TYPE_CHECKING:
    from django.db.models import Model, QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

#: What somebody reads who changed alone what takes two where there are two.
ONE_PAIR_OF_EYES = (
    "Nobody else could agree to that, so it was done by your word alone, and the trail says so."
    " Whom you let in alone does not approve what you write, until somebody else agrees."
)
DONE = {
    "accept": "Agreed, and done: {words}.",
    "refuse": "Refused: {words}.",
    "withdraw": "Taken back: {words}.",
}


def say_proposed(request: HttpRequest, proposal: Proposal) -> None:
    """Tell whoever wanted something that a second person has to agree, and who could."""
    others = could_agree(proposal)
    names = ", ".join(each.get_username() for each in others[:5])
    more = f" and {len(others) - 5} more" if len(others) > 5 else ""
    until = f"{proposal.expires_at:%Y-%m-%d %H:%M} UTC"
    text = "This takes two people: {} waits until {}. Who could agree: {}."
    messages.warning(request, format_html(text, link(proposal), until, names + more))


def waiting_badge(request: HttpRequest) -> str:
    """Return how many proposals of others wait, for the side bar; for none what hides the badge."""
    rows = visible_proposals(request.user).exclude(proposed_by=request.user.pk)
    waiting = open_proposals(rows, at=timezone.now()).exclude(person=request.user.pk)
    return str(waiting.count() or format_html('<i class="{}"></i>', "as-none"))


@admin.register(Proposal)
class ProposalAdmin(ScopedAdmin):
    """What somebody may see of it: owners their projects' and superusers all."""

    page = "registry/admin/proposal.html"
    posts: ClassVar[dict[str, str]] = {
        "accept": "agreeing to a proposal",
        "refuse": "refusing a proposal",
        "withdraw": "taking back a proposal",
    }
    list_display = ("title", "project_name", "state_badge", "proposer", "expires", "decider")
    list_filter = (column_filter("state"), column_filter("kind"))
    empty_hint = (
        "What decides who decides waits here for a second person: policies, roles that approve,"
        " roots, and accounts of those who decide"
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Proposal]:
        return visible_proposals(request.user).order_by("-id")

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        if obj is None:
            return super().has_view_permission(request)
        return self.get_queryset(request).filter(pk=obj.pk).exists()

    def content(self, request: HttpRequest, obj: Proposal) -> dict[str, Any]:
        user, at = acting_user(request), timezone.now()
        is_mine = obj.proposed_by_id == user.pk
        return {
            "proposal": obj,
            "words": words_of(obj),
            "state": state_of(obj, at),
            "is_open": obj.is_open(at),
            "is_mine": is_mine,
            "may_accept": obj.is_open(at) and user in could_agree(obj),
            "others": could_agree(obj),
        }

    def accept(self, request: HttpRequest, obj: Proposal) -> None:
        self._decide(request, obj, "accept")

    def refuse(self, request: HttpRequest, obj: Proposal) -> None:
        self._decide(request, obj, "refuse")

    def withdraw(self, request: HttpRequest, obj: Proposal) -> None:
        self._decide(request, obj, "withdraw")

    def _decide(self, request: HttpRequest, obj: Proposal, action: str) -> None:
        decide = partial(
            DECISIONS[action],
            proposal=obj,
            actor=acting_user(request),
            at=timezone.now(),
            comment=request.POST.get("comment", "").strip(),
        )
        attempt(request, decide, done=DONE[action].format(words=words_of(obj)))

    @display(description="Proposal")
    def title(self, proposal: Proposal) -> SafeString:
        return link(proposal, words_of(proposal))

    @display(description="Project", ordering="project__name")
    def project_name(self, proposal: Proposal) -> SafeString:
        return breakable(proposal.project.name) if proposal.project else muted("all")

    @display(description="State", ordering="state")
    def state_badge(self, proposal: Proposal) -> SafeString:
        return badge(state_of(proposal, timezone.now()))

    @display(description="Proposed", ordering="proposed_at")
    def proposer(self, proposal: Proposal) -> SafeString:
        return format_html("{}<br>{}", proposal.proposed_by, utc(proposal.proposed_at))

    @display(description="Waits until", ordering="expires_at")
    def expires(self, proposal: Proposal) -> SafeString:
        return utc(proposal.expires_at)

    @display(description="Decided")
    def decider(self, proposal: Proposal) -> SafeString:
        if proposal.decided_by is None:
            return muted("–")
        return format_html("{}<br>{}", proposal.decided_by, utc(proposal.decided_at))
