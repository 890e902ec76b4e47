"""Grants to read sensitive values: asked for, given or refused, taken back; what ends soon.

Not for what a grant lets somebody read: ``registry.grants`` decides that at every door.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from unfold.decorators import display

from registry import access
from registry.accounts.hands import HandMayNotDecide
from registry.admin.attempts import attempt
from registry.admin.base import ScopedAdmin
from registry.admin.filters import ProjectFilter, TextFilter
from registry.admin.forms import ReadGrantForm
from registry.admin.panels import Tile, overview
from registry.admin.scope import can_press, projects_with
from registry.choices import Right
from registry.denials import attempting
from registry.grants import Standing, standing, with_standing
from registry.markup import badge, breakable, link, utc
from registry.models import ReadGrant
from registry.operations.people import grants as operations
from registry.operations.people.grants import Hand, NoRole, Scope
from registry.operations.people.seconds import GrantTakesTwo, require_second

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.db.models import Model, QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

#: A standing as its badge says it.
WORDS = {Standing.ENDING: "ends soon"}


class StandingFilter(TextFilter):
    """By what grants are now."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(each.value, WORDS.get(each, each)) for each in Standing]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if not value:
            return queryset
        if value not in set(Standing):
            return queryset.none()
        return with_standing(queryset, Standing(value), at=timezone.now())


@admin.register(ReadGrant)
class ReadGrantAdmin(ScopedAdmin):
    """One's own, those one asked for, and all to those who give them or read the trail."""

    page = "registry/admin/grant.html"
    posts: ClassVar[dict[str, str]] = {
        "give": "giving grant {object_id}",
        "refuse": "refusing grant {object_id}",
        "revoke": "taking back grant {object_id}",
    }
    list_display = ("title", "scope_shown", "state_badge", "ends", "why", "asked")
    list_filter = (StandingFilter, ProjectFilter)
    search_fields = ("user__username", "purpose", "feature_view__name")
    search_help_text = "Search by account, view or purpose"
    empty_hint = (
        "Confidential and restricted values are read by grants; ask for one with the button above"
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ReadGrant]:
        return visible(request).select_related(
            "user", "feature_view", "project", "asked_by", "decided_by", "revoked_by"
        )

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        if obj is None:
            return super().has_view_permission(request)
        return visible(request).filter(pk=obj.pk).exists()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request) and bool(projects_with(request))

    def content(self, request: HttpRequest, obj: ReadGrant) -> dict[str, Any]:
        now, actor = timezone.now(), access.acting_user(request)
        says = standing(obj, at=now)
        may_give = can_press(request, Right.GIVE_READGRANT, obj.project)
        is_mine = actor.pk in (obj.user_id, obj.asked_by_id)
        waits = says == Standing.ASKED
        return {
            "grant": obj,
            "state": WORDS.get(says, says),
            "may_decide": waits and may_give,
            "second": _second(obj, request) if waits and may_give else {},
            "may_revoke": (waits and is_mine)
            or (says in (Standing.ACTIVE, Standing.ENDING) and (may_give or is_mine)),
        }

    @attempting("asking for a grant")
    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied("Whoever has a role in a project may ask for grants in it.")
        asked = {name: request.GET.get(name, "")[:63] for name in ("project", "feature_view")}
        project = next((p for p in _projects(request) if p.name == asked["project"]), None)
        initial = {"username": request.user.get_username(), "project": project and project.pk}
        initial["feature_view"] = asked["feature_view"].replace("\x00", "")
        form = ReadGrantForm(request, request.POST or None, initial=initial)
        if request.method == "POST" and form.is_valid():
            ask = partial(_ask, request, form.cleaned_data)
            if grant := attempt(request, ask, done="It is asked for; somebody else gives it."):
                return HttpResponseRedirect(self.url_of(grant))
        context = self.frame(request, None) | {"form": form, "title": "Ask for a grant"}
        return TemplateResponse(request, "registry/admin/grant_add.html", context)

    def give(self, request: HttpRequest, obj: ReadGrant) -> None:
        self._step(request, obj, operations.give_grant, f"{obj.user} may read from now on.")

    def refuse(self, request: HttpRequest, obj: ReadGrant) -> None:
        self._step(request, obj, operations.refuse_grant, "It is refused.")

    def revoke(self, request: HttpRequest, obj: ReadGrant) -> None:
        done = "It is taken back: refused from the very next request."
        self._step(request, obj, operations.revoke_grant, done)

    def _step(
        self, request: HttpRequest, obj: ReadGrant, step: Callable[..., ReadGrant], done: str
    ) -> None:
        comment, by = request.POST.get("comment", ""), Hand(access.acting_user(request))
        act = partial(step, grant=obj, by=by, at=timezone.now(), comment=comment)
        attempt(request, act, done=done)

    @display(description="For", ordering="user__username")
    def title(self, grant: ReadGrant) -> SafeString:
        return link(grant, str(grant.user))

    @display(description="Of", ordering="feature_view__name")
    def scope_shown(self, grant: ReadGrant) -> SafeString:
        return breakable(f"{grant.scope}, {grant.project}")

    @display(description="State")
    def state_badge(self, grant: ReadGrant) -> SafeString:
        says = standing(grant, at=timezone.now())
        return badge(WORDS.get(says, says))

    @display(description="Ends", ordering="ends_at")
    def ends(self, grant: ReadGrant) -> SafeString:
        return utc(grant.ends_at)

    @display(description="Purpose")
    def why(self, grant: ReadGrant) -> SafeString:
        purpose = grant.purpose
        return breakable(purpose if len(purpose) <= SHOWN else f"{purpose[: SHOWN - 1]}…")

    @display(description="Asked by", ordering="asked_at")
    def asked(self, grant: ReadGrant) -> str:
        return str(grant.asked_by)


#: Characters of a purpose that the list shows; its page has all.
SHOWN = 80


@overview
def waiting(request: HttpRequest) -> Iterator[Tile]:
    """Show to those who give grants how many wait for them, and to their readers what ends soon."""
    now, url = timezone.now(), reverse("admin:registry_readgrant_changelist")
    gives = ReadGrant.objects.filter(project__in=projects_with(request, Right.GIVE_READGRANT))
    if asked := with_standing(gives, Standing.ASKED, at=now).count():
        yield Tile(11, "Grants asked for", "lock_open", f"{url}?state=asked", asked, "wait for you")
    mine = ReadGrant.objects.filter(user=request.user.pk) | gives
    if ending := with_standing(mine, Standing.ENDING, at=now).count():
        yield Tile(
            31, "Grants that end soon", "lock_clock", f"{url}?state=ending", ending, "ask anew"
        )


def visible(request: HttpRequest) -> QuerySet[ReadGrant]:
    """Return the grants somebody may see, of all projects they are in."""
    sees = projects_with(request, Right.GIVE_READGRANT) | projects_with(
        request, Right.VIEW_AUDITENTRY
    )
    mine = Q(user=request.user.pk) | Q(asked_by=request.user.pk)
    own = Q(project__in=projects_with(request)) & mine
    return ReadGrant.objects.filter(Q(project__in=sees) | own)


def _projects(request: HttpRequest) -> list[Any]:
    return list(access.visible_projects(request.user))


def _second(grant: ReadGrant, request: HttpRequest) -> dict[str, Any]:
    """Return why the person may not give the grant, or that nobody else could."""
    try:
        return {"is_alone": require_second(grant, access.acting_user(request))}
    except (GrantTakesTwo, HandMayNotDecide) as exc:
        return {"barred": exc.message}


def _ask(request: HttpRequest, typed: dict[str, Any]) -> ReadGrant:
    project, name = typed["project"], typed["username"]
    user = User.objects.filter(username=name).first()
    if user is None:
        raise NoRole(name, project)
    view = typed["feature_view"]
    found = access.access_feature_view(request.user, project.name, view) if view else None
    now = timezone.now()
    return operations.ask_for_grant(
        project=project,
        user=user,
        scope=Scope(found, typed["level"]),
        purpose=typed["purpose"],
        ends_at=now + timedelta(days=min(typed["days"], 100_000)),
        by=Hand(access.acting_user(request)),
        at=now,
    )
