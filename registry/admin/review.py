"""The review desk: versions that wait, and the page on which one is decided.

Not for the rules of deciding: ``lifecycle`` and ``operations.lifecycle`` hold those.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.db.models import Count, OuterRef, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpResponseRedirect
from django.utils import timezone
from django.utils.html import format_html
from django.utils.timesince import timesince
from unfold.decorators import display

from lib.pools import Pool
from registry import access
from registry.admin.attempts import attempt
from registry.admin.base import ScopedAdmin
from registry.admin.filters import ProjectFilter, TextFilter, column_filter
from registry.admin.queue import after, waiting_for
from registry.admin.scope import projects_with
from registry.admin.version_page import DECISIONS, version_context
from registry.choices import Action, State, Verdict
from registry.looking import get_looking
from registry.markup import badge, badges, breakable, dash, link, utc
from registry.models import FeatureViewVersion, Review
from registry.operations.lifecycle.actions import OPERATIONS
from registry.words import DOING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

#: Reasons that a line of the list has.
REASONS_SHOWN = 2
#: What the person reads when an action went through; ``{version}`` is the version after it.
DONE = {
    Action.SUBMIT: "{version} waits for review now.",
    Action.WITHDRAW: "{version} is a draft again.",
    Action.APPROVE: "Your approval of {version} is recorded.",
    Action.REJECT: "{version} went back to its authors with your comment.",
    Action.PROMOTE: "{version} is the default now.",
    Action.DEPRECATE: "{version} is deprecated; it still answers.",
    Action.RESTORE: "{version} is approved again.",
    Action.RETIRE: "{version} is retired; requests that name it answer 410.",
}


def waiting_badge(request: HttpRequest) -> str:
    """Return how many versions wait for review, for the side bar; for none what hides the badge."""
    waiting = FeatureViewVersion.objects.filter(
        state=State.IN_REVIEW, feature_view__project__in=projects_with(request)
    )
    return str(waiting.count() or format_html('<i class="{}"></i>', "as-none"))


def with_agreed(versions: QuerySet[FeatureViewVersion]) -> QuerySet[FeatureViewVersion]:
    """Count in ``agreed`` how many people approved exactly what each version says now."""
    same = Review.objects.filter(version=OuterRef("pk"), packet_hash=OuterRef("packet_hash"))
    same = same.filter(verdict=Verdict.APPROVED, reviewer__is_active=True).order_by()
    count = same.values("version").annotate(count=Count("pk")).values("count")
    return versions.annotate(agreed=Coalesce(Subquery(count), 0))


class QueueFilter(TextFilter):
    """What concerns the person who looks."""

    title = "whose turn"
    parameter_name = "turn"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("mine", "waits for me"), ("others", "of mine, waits for others")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "mine":
            return queryset.filter(pk__in=waiting_for(request).values("pk"))
        if self.value() == "others":
            return queryset.filter(state=State.IN_REVIEW, editors__user=request.user.pk)
        return queryset


@admin.register(FeatureViewVersion)
class FeatureViewVersionAdmin(ScopedAdmin):
    project_path = "feature_view__project"
    page = "registry/admin/version.html"
    posts: ClassVar[dict[str, str]] = {
        "act": "a step of a version",
        "submit": "submitting a version",
    }
    pools: ClassVar[dict[str, Pool]] = {"submit": Pool.PLANS}  # it looks at the source
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
        column_filter("state"),
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
        related = "feature_view__project", "feature_view__default_version", "table", "based_on"
        return with_agreed(rows).select_related(*related, "submitted_by", "created_by")

    def content(self, request: HttpRequest, obj: FeatureViewVersion) -> dict[str, Any]:
        return version_context(request, obj)

    def act(self, request: HttpRequest, obj: FeatureViewVersion) -> HttpResponse | None:
        """Perform the action whose button was pressed; after a decision the next one is there."""
        chosen = request.POST.get("action", "")
        if chosen not in {*Action} - {Action.SUBMIT}:
            return None
        action = Action(chosen)
        options: dict[str, Any] = {}
        if action in DECISIONS:
            # What the page showed: without it, a decision could fall on what nobody looked at.
            options["packet_hash"] = request.POST.get("packet_hash", "")
        if action in (Action.PROMOTE, Action.RETIRE):
            options["force"] = request.POST.get("force") == "on"
        taken = self._take(request, obj, action, **options)
        following = after(request, obj) if taken and action in DECISIONS else None
        return HttpResponseRedirect(self.url_of(following)) if following else None

    def submit(self, request: HttpRequest, obj: FeatureViewVersion) -> None:
        self._take(request, obj, Action.SUBMIT, look=get_looking())

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
        return format_html('{}<div class="as-small as-muted">{}</div>', link(version), words)

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
    def approval_count(self, version: FeatureViewVersion) -> str:
        if version.state == State.DRAFT:
            return ""
        # As wanted at submit; the version's own page asks the policy of today too.
        wanted = version.packet.get("approvals_required", 1)
        return f"{version.agreed} of {wanted}"  # type: ignore[attr-defined]

    @display(description="Submitted", ordering="submitted_at")
    def submitted(self, version: FeatureViewVersion) -> SafeString:
        if version.submitted_by is None:
            return dash()
        who = breakable(version.submitted_by.get_username())
        waits = ""
        if version.state == State.IN_REVIEW and version.submitted_at:
            waits = f"waits for {timesince(version.submitted_at, depth=1)}"
        shown = who, utc(version.submitted_at), waits
        return format_html('{}<br>{}<div class="as-small as-muted">{}</div>', *shown)


def in_short(packet: Mapping[str, Any]) -> str:
    """Say in one line why a change is of its class, and what it touches."""
    reasons, breaks = packet.get("reasons", []), packet.get("breaks", [])
    said = [*reasons[:REASONS_SHOWN]]
    if more := len(reasons) - len(said):
        said.append(f"and {more} more")
    if breaks:
        said.append(f"breaks {', '.join(breaks)}")
    elif services := len({line.partition(":")[0] for line in packet.get("impact", ())}):
        said.append(f"read by {services} service{'s' if services > 1 else ''}")
    if derived := len({line.partition(":")[0] for line in packet.get("derived", ())}):
        said.append(f"{derived} view{'s' if derived > 1 else ''} computed with it")
    return "; ".join(said)
