"""The list of versions: what waits and for whom, whose turn it is, and a line of each.

Not for what is done to one: ``review``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import Prefetch
from django.utils import timezone
from django.utils.html import format_html
from django.utils.timesince import timesince
from unfold.decorators import display

from registry import reviewers
from registry.admin.base import ScopedAdmin
from registry.admin.filters import ProjectFilter, TextFilter, column_filter
from registry.admin.queue import waiting_for
from registry.admin.scope import projects_with
from registry.approval import agreed
from registry.choices import State
from registry.glass import GLASS, is_unlooked, mark_of, waits
from registry.markup import badge, badges, breakable, dash, utc
from registry.models import FeatureViewVersion
from registry.queries import waiting_first
from registry.words import in_short

if TYPE_CHECKING:
    from django.db.models import OrderBy, QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

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


def waiting_badge(request: HttpRequest) -> str:
    """Return how many versions wait for review, for the side bar; for none what hides the badge."""
    waiting = FeatureViewVersion.objects.filter(
        waits(), feature_view__project__in=projects_with(request)
    )
    return str(waiting.count() or format_html('<i class="{}"></i>', "as-none"))


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


class VersionList(ScopedAdmin):
    """What is listed of versions; the page of one and its steps are added to it."""

    project_path = "feature_view__project"
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
