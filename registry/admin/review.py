"""The review desk: versions that wait, and the page on which one is decided.

Not for the rules of deciding: ``lifecycle`` and ``operations.lifecycle`` hold those.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.db.models import Prefetch
from django.http import HttpResponseRedirect
from django.utils import timezone
from django.utils.html import format_html
from django.utils.timesince import timesince
from unfold.decorators import display

from lib.pools import Pool
from registry import access, reviewers
from registry.admin.attempts import attempt
from registry.admin.base import ScopedAdmin
from registry.admin.bulk import approve_chosen_path, confirmation
from registry.admin.filters import ProjectFilter, TextFilter, column_filter
from registry.admin.glass import GLASS_ACTIONS, LOOKS, end_of
from registry.admin.queue import address_of, after, queue_of, waiting_for
from registry.admin.scope import projects_with
from registry.admin.version_page import DECISIONS, version_context
from registry.approval import agreed
from registry.choices import Action, State
from registry.glass import GLASS, is_unlooked, mark_of, waits
from registry.looking import get_looking
from registry.markup import badge, badges, breakable, dash, utc
from registry.models import FeatureViewVersion
from registry.operations.lifecycle.actions import OPERATIONS
from registry.operations.lifecycle.asking import ask_reviewers
from registry.operations.lifecycle.commenting import On, add_comment, resolve_thread, thread_of
from registry.queries import waiting_first
from registry.words import DOING, in_short

if TYPE_CHECKING:
    from django.db.models import OrderBy, QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern
    from django.utils.safestring import SafeString

    from registry.models import ReviewComment

#: What an empty list says of whose turn it is.
EMPTY: dict[str | None, tuple[str, str]] = {
    "me": (
        "Nothing is asked of you",
        "What is submitted and asked of you, or of all who may, waits here.",
    ),
    "may": ("Nothing waits for you", "What you may decide on and have not waits here."),
    "mine": ("Nothing of yours waits", "What you wrote or submitted waits here for others."),
    "overdue": (
        "Nothing is overdue",
        "What waits longer than its project gives reviewers comes here.",
    ),
}
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
    "may_comment": False, "could_ask": [], "steps": [], "may_decide": False, "may_retire": False,
    "barred": "", "may_look": False, "look_barred": "", "may_break": False,
}  # fmt: skip


def waiting_badge(request: HttpRequest) -> str:
    """Return how many versions wait for review, for the side bar; for none what hides the badge."""
    waiting = FeatureViewVersion.objects.filter(
        waits(), feature_view__project__in=projects_with(request)
    )
    return str(waiting.count() or format_html('<i class="{}"></i>', "as-none"))


def _number(text: str) -> int:
    """Return a number that a form sends; 0, which nothing has, for what is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < MOST_DIGITS else 0


class QueueFilter(TextFilter):
    """What concerns the person who looks."""

    title = "whose turn"
    parameter_name = "turn"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("me", "asked of me"),
            ("may", "I may decide"),
            ("mine", "mine, waits for others"),
            ("overdue", "overdue"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        turn = self.value()
        if turn in ("me", "may"):
            waiting = queryset.filter(pk__in=waiting_for(request).order_by().values("pk"))
            return reviewers.asked_of(waiting, request.user) if turn == "me" else waiting
        if turn == "mine":
            return reviewers.submitted_by(queryset, request.user)
        return reviewers.overdue(queryset, at=timezone.now()) if turn == "overdue" else queryset


class StateFilter(TextFilter):
    """By state; in review is what waits for somebody, so broken glasses are there too."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state, state.replace("_", " ")) for state in State]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == State.IN_REVIEW:
            return queryset.filter(waits())
        return queryset.filter(state=self.value()) if self.value() else queryset


@admin.register(FeatureViewVersion)
class FeatureViewVersionAdmin(ScopedAdmin):
    project_path = "feature_view__project"
    page = "registry/admin/version.html"
    posts: ClassVar[dict[str, str]] = {
        "act": "a step of a version",
        "submit": "submitting a version",
        "ask": "choosing who reviews a version",
        "comment": "commenting on a version",
        "resolve": "resolving a comment on a version",
    }
    pools: ClassVar[dict[str, Pool]] = {"submit": Pool.PLANS}  # it looks at the source
    list_display_links = ("title",)
    list_display = (
        "title",
        "project",
        "state_badge",
        "change",
        "sensitivity_badge",
        "approval_count",
        "submitted",
    )
    actions = ("approve_chosen",)
    list_filter = (
        QueueFilter,
        StateFilter,
        column_filter("change_class", "change"),
        column_filter("features__sensitivity", "sensitivity of a feature"),
        ProjectFilter,
    )
    search_fields = (
        "feature_view__name",
        "features__name",
        "submitted_by__username",
        "created_by__username",
    )
    search_help_text = "Search by view, feature or person"
    empty_hint = (
        "Versions appear here when an author applies definitions and submits them: "
        "assay apply FILES --submit"
    )
    ordering = ("-submitted_at", "-id")

    def get_queryset(self, request: HttpRequest) -> QuerySet[FeatureViewVersion]:
        rows = super().get_queryset(request)
        related = (
            "feature_view__project",
            "feature_view__default_version",
            "table",
            "based_on",
            *GLASS,
        )
        rows = (
            reviewers.with_agreed(rows)
            .annotate(is_broken=is_unlooked())
            .prefetch_related(Prefetch("asked", reviewers.asked_now().select_related("reviewer")))
        )
        return rows.select_related(*related, "submitted_by", "created_by")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        words = (
            {} if request.GET.get("q") else {"nothing_found": EMPTY.get(request.GET.get("turn"))}
        )
        return super().changelist_view(request, words | (extra_context or {}))

    def get_list_display(self, request: HttpRequest) -> list[str]:
        """Leave out what would be the same in every line."""
        same = {"state_badge"} if request.GET.get("state") else set()
        if len(projects_with(request)) == 1:
            same.add("project")
        return [name for name in self.list_display if name not in same]

    def get_ordering(self, request: HttpRequest) -> tuple[OrderBy | str, ...]:
        """Put first what waits longest, where all that is listed waits."""
        is_queue = request.GET.get("state") == State.IN_REVIEW
        return waiting_first() if is_queue else ("-submitted_at", "-id")

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

    @display(description="Version", ordering="feature_view__name")
    def title(self, version: FeatureViewVersion) -> SafeString:
        owner = version.spec.view.owner
        words = f"owned by {owner}" if owner else "no owner"
        mark = badge("broken glass") if mark_of(version) else ""
        # The list makes it a link, which keeps its filters on the way through what waits.
        shown = breakable(str(version))
        return format_html(
            '<span class="as-link">{}</span> {}<span class="as-small as-muted as-below">{}</span>',
            shown,
            mark,
            words,
        )

    @display(description="Project", ordering="feature_view__project__name")
    def project(self, version: FeatureViewVersion) -> SafeString:
        return breakable(version.feature_view.project.name)

    @display(description="State", ordering="state")
    def state_badge(self, version: FeatureViewVersion) -> SafeString:
        is_default = version.feature_view.default_version_id == version.pk
        return badges(version.state, "default" if is_default else "")

    @display(description="Change", ordering="change_class")
    def change(self, version: FeatureViewVersion) -> SafeString:
        guard = version.packet.get("guard") and version.change_class != "guard"
        shown = badges(version.change_class, "guard" if guard else "")
        return format_html(
            '{}<div class="as-small as-muted">{}</div>', shown, breakable(in_short(version.packet))
        )

    @display(description="Sensitivity")
    def sensitivity_badge(self, version: FeatureViewVersion) -> SafeString:
        return badge(version.sensitivity)

    @display(description="Approvals")
    def approval_count(self, version: FeatureViewVersion) -> SafeString | str:
        if version.state == State.DRAFT:
            return ""
        # As wanted at submit; the version's own page asks the policy of today too.
        wanted = version.packet.get("approvals_required", 1)
        count = f"{agreed(version)} of {wanted}"
        if version.is_broken:  # type: ignore[attr-defined]
            words = "broken glass: look at it"
            return format_html('{}<div class="as-small as-muted">{}</div>', count, words)
        if version.state != State.IN_REVIEW:
            return count
        asked = ", ".join(each.reviewer.get_username() for each in version.asked.all())
        words = f"asked of {asked}" if asked else "of all who may"
        return format_html('{}<div class="as-small as-muted">{}</div>', count, words)

    @display(description="Submitted", ordering="submitted_at")
    def submitted(self, version: FeatureViewVersion) -> SafeString:
        if version.submitted_by is None:
            return dash()
        who = breakable(version.submitted_by.get_username())
        waits: SafeString | str = ""
        due = reviewers.due_at(version)
        if due is not None and version.submitted_at:
            waits = f"waits for {timesince(version.submitted_at, depth=1)}"
            if due < timezone.now():
                waits = format_html("{} {}", badge("overdue"), waits)
        shown = who, utc(version.submitted_at), waits
        return format_html('{}<br>{}<div class="as-small as-muted">{}</div>', *shown)
