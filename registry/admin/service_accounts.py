"""Service accounts, for those who manage a project's members: made with a token, shut out, let in.

Not for accounts of people (``users``) or for roles (``projects``).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, Max, Min, Prefetch, Q
from django.template.response import TemplateResponse
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables
from unfold.decorators import display

from registry import access
from registry.admin.attempts import attempt
from registry.admin.base import ScopedAdmin
from registry.admin.filters import ProjectFilter
from registry.admin.grants import WORDS
from registry.admin.projects import rights_in_words, suggestions
from registry.admin.scope import projects_with
from registry.admin.token_forms import NewServiceAccountForm, ServiceAccountForm
from registry.admin.tokens import shown_once, token_state
from registry.choices import Right, Role
from registry.denials import attempting
from registry.grants import standing
from registry.markup import badge, breakable, link, muted, utc
from registry.models import ApiToken, Membership, ReadGrant, ServiceAccount
from registry.operations.people.service_accounts import (
    change_service_account,
    find_owner,
    make_service_account,
)
from registry.operations.people.tokens import issue_token
from registry.roles import DECISIONS, ROLES

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import Model, QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

#: Tokens, and grants, that a page shows.
MOST_SHOWN = 100


@admin.register(ServiceAccount)
class ServiceAccountAdmin(ScopedAdmin):
    page = "registry/admin/service_account.html"
    view_right = Right.MANAGE_MEMBERS
    view_refusal = add_refusal = "Service accounts are managed by the owners of their project."
    posts: ClassVar[dict[str, str]] = {
        "edit": "changing a service account",
        "shut_out": "shutting out a service account",
        "let_in": "letting in a service account",
    }
    list_display = ("title", "state", "roles", "asked", "tokens", "used", "next_end")
    list_filter = (ProjectFilter,)
    search_fields = ("user__username", "description", "owner__username")
    search_help_text = "Search by name, use or who is asked"
    empty_hint = (
        "Each program gets an account of its own, with a role and tokens that are rotated; add one"
        " with the button above"
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ServiceAccount]:
        at = timezone.now()
        is_live = Q(user__api_tokens__revoked_at=None, user__api_tokens__expires_at__gt=at)
        roles = Prefetch("user__memberships", Membership.objects.select_related("project"))
        rows: QuerySet[ServiceAccount] = super().get_queryset(request)
        return (
            rows.select_related("user", "project", "owner", "set_by")
            .prefetch_related(roles)
            .annotate(
                live_tokens=Count("user__api_tokens", filter=is_live, distinct=True),
                last_use=Max("user__api_tokens__last_used_at"),
                first_end=Min("user__api_tokens__expires_at", filter=is_live),
            )
            .order_by("user__username")
        )

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return may_manage(request) if obj is None else super().has_view_permission(request, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return may_manage(request)

    def content(self, request: HttpRequest, obj: ServiceAccount) -> dict[str, Any]:
        now = timezone.now()
        tokens = ApiToken.objects.filter(user=obj.user, project=obj.project)
        tokens = tokens.select_related("user", "project", "created_by").order_by("-created_at")
        given = ReadGrant.objects.filter(user=obj.user, project=obj.project)
        given = given.select_related("feature_view", "project", "user").order_by("-asked_at")
        roles = _roles(obj)
        rights = {right for role in roles for right in ROLES[role]} - DECISIONS
        typed: dict[str, Any] = {
            "description": obj.description,
            "owner": obj.owner or "",
            "calls_per_minute": obj.calls_per_minute or "",
        }
        return {
            "account": obj,
            "roles": roles,
            "rights": rights_in_words(rights),
            "tokens": [(each, token_state(each, now)) for each in tokens[:MOST_SHOWN]],
            "grants": [(each, _standing(each, now)) for each in given[:MOST_SHOWN]],
            "form": ServiceAccountForm(initial=typed),
            "people": suggestions(obj.project),
        }

    @attempting("making a service account")
    @sensitive_variables("text", "made")
    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied(self.add_refusal)
        form = NewServiceAccountForm(request, request.POST or None)
        context = self.frame(request, None) | {"form": form, "title": "New service account"}
        is_sent = request.method == "POST" and form.is_valid()
        if is_sent and (made := attempt(request, partial(_make, request, form))):
            account, token, text = made
            return shown_once(request, context | {"back": self.url_of(account)}, token, text)
        return TemplateResponse(request, "registry/admin/service_account_add.html", context)

    def edit(self, request: HttpRequest, obj: ServiceAccount) -> HttpResponse | None:
        form = ServiceAccountForm(request.POST)
        if not form.is_valid():
            context = self.frame(request, obj) | self.content(request, obj) | {"form": form}
            return TemplateResponse(request, self.page, context, status=422)
        project: Any = obj.project  # the manager gives none without
        typed = form.cleaned_data
        name, said = typed["owner"].strip(), {"description": typed["description"]}
        said["calls_per_minute"] = typed["calls_per_minute"] or 0

        def change() -> object:
            owner = find_owner(project, name) if name else None
            return _change(request, obj, owner=owner, **said)

        attempt(request, change, done=f"{obj.user} is changed.")
        return None

    def shut_out(self, request: HttpRequest, obj: ServiceAccount) -> None:
        done = f"{obj.user} is shut out, and all its tokens with it."
        attempt(request, partial(_change, request, obj, active=False), done=done)

    def let_in(self, request: HttpRequest, obj: ServiceAccount) -> None:
        done = f"{obj.user} is let in again, by each of its tokens that has not ended."
        attempt(request, partial(_change, request, obj, active=True), done=done)

    @display(description="Account", ordering="user__username")
    def title(self, account: ServiceAccount) -> SafeString:
        return link(account, str(account.user))

    @display(description="State", ordering="user__is_active")
    def state(self, account: ServiceAccount) -> SafeString:
        return badge("active" if account.user.is_active else "shut out")

    @display(description="Roles")
    def roles(self, account: ServiceAccount) -> SafeString:
        return breakable(", ".join(_roles(account))) or muted("none")

    @display(description="Who is asked", ordering="owner__username")
    def asked(self, account: ServiceAccount) -> SafeString:
        return breakable(str(account.owner)) if account.owner else muted("nobody")

    @display(description="Live tokens", ordering="live_tokens")
    def tokens(self, account: ServiceAccount) -> SafeString:
        live: int = account.live_tokens  # type: ignore[attr-defined]
        return breakable(str(live)) if live else muted("none")

    @display(description="Last used", ordering="last_use")
    def used(self, account: ServiceAccount) -> SafeString:
        last = account.last_use  # type: ignore[attr-defined]
        return utc(last) if last else muted("never")

    @display(description="First to end", ordering="first_end")
    def next_end(self, account: ServiceAccount) -> SafeString:
        return utc(account.first_end)  # type: ignore[attr-defined]


def may_manage(request: HttpRequest) -> bool:
    """Tell whether the person manages the members of any project."""
    return bool(
        request.user.is_active
        and request.user.is_staff
        and (request.user.is_superuser or projects_with(request, Right.MANAGE_MEMBERS))
    )


def _roles(account: ServiceAccount) -> list[Role]:
    """Return what it is in its own project: of others its owners may know nothing."""
    held = account.user.memberships.all()
    return sorted(Role(each.role) for each in held if each.project_id == account.project_id)


def _standing(grant: ReadGrant, at: datetime) -> str:
    says = standing(grant, at=at)
    return WORDS.get(says, says)


def _change(request: HttpRequest, account: ServiceAccount, **changes: Any) -> object:
    actor = access.acting_user(request)
    return change_service_account(account=account, actor=actor, at=timezone.now(), **changes)


@sensitive_variables("text")
def _make(
    request: HttpRequest, form: NewServiceAccountForm
) -> tuple[ServiceAccount, ApiToken, str]:
    """Make the account and its token, or neither."""
    typed, actor, at = form.cleaned_data, access.acting_user(request), timezone.now()
    project, owner = typed["project"], typed["owner"].strip()
    with transaction.atomic():
        account = make_service_account(
            project=project,
            name=typed["name"],
            role=Role(typed["role"]),
            description=typed["description"],
            owner=find_owner(project, owner) if owner else None,
            actor=actor,
            at=at,
        )
        token, text = issue_token(
            user=account.user,
            name=typed["token_name"],
            days=typed["days"],
            project=project,
            limits=form.limits,
            actor=actor,
            at=at,
        )
    return ServiceAccount.objects.get(pk=account.pk), token, text
