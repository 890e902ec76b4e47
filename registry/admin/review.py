"""The review desk: the page on which a version is decided, and what is done from it.

Not for the list of versions (``review_list``), nor for the rules of deciding: ``lifecycle`` and
``operations.lifecycle`` hold those.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.http import HttpResponseRedirect
from django.utils import timezone

from lib.instants import sent_instant
from lib.pools import Pool
from registry import access, reviewers
from registry.admin.attempts import attempt
from registry.admin.bulk import approve_chosen_path, confirmation
from registry.admin.glass import GLASS_ACTIONS, LOOKS, end_of
from registry.admin.queue import address_of, after, queue_of
from registry.admin.review_list import VersionList
from registry.admin.scope import projects_with
from registry.admin.version_page import DECISIONS, version_context
from registry.choices import Action
from registry.looking import get_looking
from registry.models import FeatureViewVersion
from registry.operations.lifecycle.actions import OPERATIONS
from registry.operations.lifecycle.asking import ask_reviewers
from registry.operations.lifecycle.commenting import On, add_comment, resolve_thread, thread_of
from registry.operations.lifecycle.releases import BadSunset
from registry.words import DOING

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern

    from registry.models import ReviewComment

#: Digits of any key in a database, and one more.
MOST_DIGITS = 19
#: What the person reads when an action went through; ``{version}`` is the version after it.
DONE = {
    Action.SUBMIT: "{version} waits for review now.",
    Action.WITHDRAW: "{version} is a draft again.",
    Action.APPROVE: "Your approval of {version} is recorded.",
    Action.REJECT: "{version} went back to its authors with your comment.",
    Action.BREAK_GLASS: "{version} is approved by your word, and marked until others confirm it.",
    Action.CONFIRM: "Your confirmation of {version} is recorded.",
    Action.OBJECT: "Your objection to {version} is recorded; it is deprecated.",
    Action.PROMOTE: "{version} is the default now.",
    Action.DEPRECATE: "{version} is deprecated; it still answers.",
    Action.RESTORE: "{version} is approved again.",
    Action.RETIRE: "{version} is retired; requests that name it answer 410.",
}


#: What people without staff rights find no button for.
READ_ONLY: dict[str, Any] = {
    "may_comment": False, "could_ask": [], "steps": [], "may_decide": False,
    "may_retire": False, "may_deprecate": False, "barred": "", "may_look": False,
    "look_barred": "", "may_break": False,
}  # fmt: skip


def _number(text: str) -> int:
    """Return a number that a form sends; 0, which nothing has, for what is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < MOST_DIGITS else 0


@admin.register(FeatureViewVersion)
class FeatureViewVersionAdmin(VersionList):
    page = "registry/admin/version.html"
    posts: ClassVar[dict[str, str]] = {
        "act": "a step of a version",
        "submit": "submitting a version",
        "ask": "choosing who reviews a version",
        "comment": "commenting on a version",
        "resolve": "resolving a comment on a version",
    }
    actions = ("approve_chosen",)
    pools: ClassVar[dict[str, Pool]] = {"submit": Pool.PLANS}  # it looks at the source

    def get_urls(self) -> list[URLPattern]:
        return [approve_chosen_path(self), *super().get_urls()]

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return bool(projects_with(request, reviewers.RIGHT))

    @admin.action(description="Approve together…", permissions=["decide"])
    def approve_chosen(
        self, request: HttpRequest, chosen: QuerySet[FeatureViewVersion]
    ) -> HttpResponse | None:
        return confirmation(request, self, chosen)

    def content(self, request: HttpRequest, obj: FeatureViewVersion) -> dict[str, Any]:
        context = version_context(request, self, obj)
        return context if request.user.is_staff else context | READ_ONLY

    def act(self, request: HttpRequest, obj: FeatureViewVersion) -> HttpResponse | None:
        """Perform the action whose button was pressed; after a decision the next one is there."""
        chosen = request.POST.get("action", "")
        if chosen not in {*Action} - {Action.SUBMIT}:
            return None
        action = Action(chosen)
        options: dict[str, Any] = {}
        if action is Action.DEPRECATE and (until := request.POST.get("until")):
            read = partial(sent_instant, "until", until, BadSunset)
            if (end := attempt(request, read, wanted=f"{DOING[action]} {obj}")) is None:
                return HttpResponseRedirect(address_of(request, obj.pk))
            options["until"] = end
        if action in (*DECISIONS, *GLASS_ACTIONS):
            # What the page showed: without it, a decision could fall on what nobody looked at.
            options["packet_hash"] = request.POST.get("packet_hash", "")
        if action is Action.BREAK_GLASS:
            options["until"] = end_of(request)
        if action in (Action.PROMOTE, Action.RETIRE):
            options["force"] = request.POST.get("force") == "on"
        is_decision = action in (*DECISIONS, *LOOKS)
        keys = queue_of(request, self) if is_decision else []
        taken = self._take(request, obj, action, **options)
        following = after(request, keys, obj.pk) if taken and is_decision else None
        return HttpResponseRedirect(address_of(request, following or obj.pk))

    def ask(self, request: HttpRequest, obj: FeatureViewVersion) -> HttpResponse:
        """Ask those who were ticked, or typed, to decide."""
        ask = partial(
            ask_reviewers,
            version=obj,
            reviewers=[name for name in request.POST.getlist("reviewer") if name.strip()],
            actor=access.acting_user(request),
            at=timezone.now(),
        )
        people = attempt(request, ask, wanted=f"choosing who reviews {obj}")
        if people is not None:
            names = ", ".join(person.get_username() for person in people)
            messages.success(request, f"{obj} is asked of {names or 'all who may approve it'} now.")
        return HttpResponseRedirect(address_of(request, obj.pk))

    def submit(self, request: HttpRequest, obj: FeatureViewVersion) -> None:
        self._take(request, obj, Action.SUBMIT, look=get_looking())

    def comment(self, request: HttpRequest, obj: FeatureViewVersion) -> HttpResponse:
        """Say what was typed: on a line, as an answer, or of the version as a whole."""
        told = {name: request.POST.get(name, "") for name in ("path", "side", "line", "thread")}
        say = partial(
            add_comment,
            version=obj,
            body=request.POST.get("body", ""),
            actor=access.acting_user(request),
            at=timezone.now(),
            on=On(told["path"], _number(told["line"]), told["side"]) if told["path"] else None,
            thread_id=_number(told["thread"]) if told["thread"] else None,
        )
        said = attempt(request, say, wanted=f"commenting on {obj}")
        at = f"#comment-{said.thread_id or said.pk}" if said else "#conversation"
        return HttpResponseRedirect(address_of(request, obj.pk) + at)

    def resolve(self, request: HttpRequest, obj: FeatureViewVersion) -> HttpResponse:
        def settle() -> ReviewComment:
            thread = thread_of(obj, _number(request.POST.get("thread", "")))
            actor = access.acting_user(request)
            return resolve_thread(thread=thread, actor=actor, at=timezone.now())

        attempt(request, settle, wanted=f"resolving a comment on {obj}")
        return HttpResponseRedirect(address_of(request, obj.pk) + "#conversation")

    def _take(
        self, request: HttpRequest, obj: FeatureViewVersion, action: Action, **options: Any
    ) -> bool:
        operation = partial(
            OPERATIONS[action],
            version=obj,
            actor=access.acting_user(request),
            at=timezone.now(),
            comment=request.POST.get("comment", "").strip(),
            **options,
        )
        version = attempt(request, operation, wanted=f"{DOING[action]} {obj}")
        if version is not None:
            messages.success(request, DONE[action].format(version=version))
        return version is not None
