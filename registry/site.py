"""The admin's site: open to staff, and its catalogue to everybody with a role, to read.

A page is closed to people without staff rights unless it stands here; what each then shows is
decided by its own rights, as for staff (docs/decisions/0039).
"""

from __future__ import annotations

from contextlib import suppress
from functools import wraps
from typing import TYPE_CHECKING, Any, NoReturn

from django.core.exceptions import PermissionDenied
from django.http import HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from unfold.forms import AuthenticationForm
from unfold.sites import UnfoldAdminSite

from registry import access
from registry.access import ActionNotPermitted
from registry.denials import DenialNotRecorded, RefusedTooOften, record_denial

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.contrib.auth.models import AnonymousUser, User
    from django.http import HttpRequest, HttpResponse

#: Pages of the catalogue, by the names of their addresses.
PAGES = frozenset(
    {
        *(
            f"registry_{model}_{page}"
            for model in ("feature", "featureview", "featureservice", "entity", "datasource")
            for page in ("changelist", "change")
        ),
        "registry_feature_of",
        "registry_featureviewversion_change",
        "index",
        "search",
        "jsi18n",
        "password_change",
        "password_change_done",
        # What somebody was told: their own.
        *(f"registry_notification_{page}" for page in ("changelist", "change", "choices")),
        # Tokens: their own.
        *(f"registry_apitoken_{page}" for page in ("changelist", "change", "add")),
        # Leave to read: their own, and asking for it.
        *(f"registry_readgrant_{page}" for page in ("changelist", "change", "add")),
    }
)
#: What people send who may only read: a log-out, a password and tokens of their own, what they ask,
#: also for leave to read; which of that somebody may say is decided where it is stored.
SENT = frozenset(
    {
        "logout",
        "password_change",
        "registry_notification_read_all",
        "registry_notification_choices",
        *(f"registry_apitoken_{step}" for step in ("add", "rotate", "revoke")),
        *(f"registry_readgrant_{step}" for step in ("add", "revoke")),
        *(f"registry_feature_{step}" for step in ("ask", "answer", "accept", "close", "reopen")),
    }
)


def is_reader(user: User | AnonymousUser) -> bool:
    """Return whether somebody without staff rights has a role in a project."""
    return bool(user.is_active and not user.is_staff and access.visible_projects(user).exists())


def may_open(request: HttpRequest) -> bool:
    """Return whether a person without staff rights may have the page that is asked for."""
    match = request.resolver_match
    if match is None or match.namespace != "admin" or not is_reader(request.user):
        return False
    if request.method in ("GET", "HEAD"):
        return match.url_name in PAGES
    return match.url_name in SENT


class LoginForm(AuthenticationForm):  # type: ignore[misc]  # unfold has no types
    """As the admin's, and for everybody who has a role in a project."""

    def confirm_login_allowed(self, user: User) -> None:
        if not is_reader(user):
            super().confirm_login_allowed(user)


class AssaySite(UnfoldAdminSite):  # type: ignore[misc]  # as above
    login_form = LoginForm

    def has_permission(self, request: HttpRequest) -> bool:
        return bool(super().has_permission(request)) or may_open(request)

    def admin_view(
        self,
        view: Any,
        cacheable: bool = False,  # noqa: FBT001, FBT002 - as Django has it
    ) -> Callable[..., HttpResponse]:
        inner: Callable[..., HttpResponse] = super().admin_view(view, cacheable)

        @wraps(inner)
        def opened(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not self.has_permission(request) and is_reader(request.user):
                _refuse(request)
            return inner(request, *args, **kwargs)

        return opened

    def index(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if is_reader(request.user):
            return HttpResponseRedirect(reverse("admin:registry_feature_changelist"))
        page: HttpResponse = super().index(request, extra_context)
        return page


def _refuse(request: HttpRequest) -> NoReturn:
    error = ActionNotPermitted(
        f"{request.user} has no staff rights: the catalogue is open to read, and asking for grants,"
        " and tokens of one's own; nothing else here is. A superuser gives staff rights."
    )
    with suppress(DenialNotRecorded, RefusedTooOften):
        record_denial(request, error, at=timezone.now())
    raise PermissionDenied(error.message)
