"""API tokens: issued and rotated (the text is shown once), seen by prefix, revoked."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.template.response import TemplateResponse
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables
from unfold.decorators import display

from registry import access
from registry.access import acting_user
from registry.admin.attempts import attempt
from registry.admin.base import ScopedAdmin
from registry.admin.scope import can_press, projects_with
from registry.admin.token_forms import RotationForm, TokenForm
from registry.choices import Right
from registry.denials import attempting
from registry.markup import badge, breakable, link, muted, utc
from registry.models import ApiToken
from registry.operations.people.tokens import issue_token, revoke_token, rotate_token

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import Model, QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString


@admin.register(ApiToken)
class ApiTokenAdmin(ScopedAdmin):
    """One's own tokens, those one made, those of projects one manages; superusers see all."""

    page = "registry/admin/token.html"
    posts: ClassVar[dict[str, str]] = {
        "rotate": "rotating a token",
        "revoke": "revoking a token",
    }
    list_display = ("title", "state", "user", "limit", "shown_prefix", "used", "expires")
    search_fields = ("name", "user__username", "prefix")
    search_help_text = "Search by name, account or prefix"
    empty_hint = "A token lets a program speak for an account; add one with the button above"

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiToken]:
        rows = ApiToken.objects.select_related("user", "project", "created_by")
        if request.user.is_superuser:
            return rows.order_by("-created_at")
        mine = Q(user=request.user.pk) | Q(created_by=request.user.pk)
        managed = Q(project__in=projects_with(request, Right.MANAGE_MEMBERS))
        return rows.filter(mine | managed).order_by("-created_at")

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        if obj is None:
            return super().has_view_permission(request)
        return self.get_queryset(request).filter(pk=obj.pk).exists()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def content(self, request: HttpRequest, obj: ApiToken) -> dict[str, Any]:
        state, successor = token_state(obj, timezone.now()), obj.successors.first()
        return {
            "token": obj,
            "state": state,
            "successor": successor,
            "may_rotate": state == "live" and successor is None and _may_rotate(request, obj),
            "rotation": RotationForm(obj),
        }

    @attempting("issuing a token")
    @sensitive_variables("text", "issued")
    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = TokenForm(request, request.POST or None)
        context = self.frame(request, None) | {"form": form, "title": "New API token"}
        if request.method == "POST" and form.is_valid():
            asked = {name: form.cleaned_data[name] for name in ("user", "name", "project", "days")}
            issue = partial(
                issue_token,
                **asked,
                limits=form.limits,
                actor=acting_user(request),
                at=timezone.now(),
                is_logged_in=True,
            )
            if issued := attempt(request, issue):
                return shown_once(request, context, *issued)
        return TemplateResponse(request, "registry/admin/token_add.html", context)

    @sensitive_variables("text", "rotated")
    def rotate(self, request: HttpRequest, obj: ApiToken) -> HttpResponse | None:
        form = RotationForm(obj, request.POST)
        if not form.is_valid():
            context = self.frame(request, obj) | self.content(request, obj) | {"rotation": form}
            return TemplateResponse(request, self.page, context, status=422)
        rotate = partial(
            rotate_token,
            token=obj,
            **form.cleaned_data,
            actor=acting_user(request),
            at=timezone.now(),
            is_logged_in=True,
        )
        rotated = attempt(request, rotate)
        if rotated is None:
            return None
        return shown_once(request, self.frame(request, obj) | {"old": obj}, *rotated)

    def revoke(self, request: HttpRequest, obj: ApiToken) -> None:
        end = partial(revoke_token, token=obj, actor=acting_user(request), at=timezone.now())
        attempt(request, lambda: end() or True, done=f"{obj} is refused from now on.")

    @display(description="Token", ordering="name")
    def title(self, token: ApiToken) -> SafeString:
        return link(token, token.name)

    @display(description="State")
    def state(self, token: ApiToken) -> SafeString:
        return badge(token_state(token, timezone.now()))

    @display(description="Limited to", ordering="project")
    def limit(self, token: ApiToken) -> SafeString:
        return breakable(token.project.name) if token.project else muted("all projects")

    @display(description="Begins with")
    def shown_prefix(self, token: ApiToken) -> str:
        return f"{token.prefix}…"

    @display(description="Last used", ordering="last_used_at")
    def used(self, token: ApiToken) -> SafeString:
        return utc(token.last_used_at) if token.last_used_at else muted("never")

    @display(description="Expires", ordering="expires_at")
    def expires(self, token: ApiToken) -> SafeString:
        return utc(token.expires_at)


def shown_once(
    request: HttpRequest, frame: dict[str, Any], token: ApiToken, text: str
) -> HttpResponse:
    """Show a new token's text, on this page and on no other."""
    context = frame | {"token": token, "text": text}
    response = TemplateResponse(request, "registry/admin/token_shown.html", context)
    # The text must not stay behind in a cache or in the browser's history.
    response["Cache-Control"] = "no-store"
    return response


def _may_rotate(request: HttpRequest, token: ApiToken) -> bool:
    """Tell whether to show the button; the operation decides."""
    if token.user_id == request.user.pk:
        return True
    if token.user.is_superuser or access.is_person(token.user):
        return False
    if token.project is None:
        return bool(request.user.is_superuser)
    return can_press(request, Right.MANAGE_MEMBERS, token.project)


def token_state(token: ApiToken, at: datetime) -> str:
    if token.revoked_at is not None:
        return "revoked"
    if not (token.user.is_active and token.created_by.is_active):
        return "shut out"
    return "live" if token.is_live(at) else "expired"
