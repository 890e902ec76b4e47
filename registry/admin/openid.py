"""Logging in at the OpenID provider, and what those are told whom that does not let in.

Not for the protocol (``openid``) or for whose account it is (``operations.people.identities``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import REDIRECT_FIELD_NAME, login
from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.models import AnonymousUser, User
from django.db import transaction
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from lib import rates
from lib.addresses import address_of
from lib.errors import AssayError, Unavailable
from registry import audit, logins, openid
from registry.operations.people import identities

if TYPE_CHECKING:
    from datetime import datetime

    from django.http import HttpRequest

BACKEND = "registry.admin.openid.ProviderBackend"
#: In the session: where somebody wanted to go.
NEXT = "assay_next"
#: In the session: who was logged in when they left for the provider.
LINKS = "assay_links"


class ProviderBackend(BaseBackend):
    """Whose sessions were begun by the provider; nobody is let in by what a form says."""

    def get_user(self, user_id: int) -> User | None:
        return User.objects.filter(pk=user_id, is_active=True).first()


@never_cache
@require_GET
def begin(request: HttpRequest) -> HttpResponse:
    """Send somebody to the provider; who is logged in links who they are there to their account."""
    if not openid.is_on():
        raise Http404
    wanted = request.GET.get(REDIRECT_FIELD_NAME, "")
    is_ours = url_has_allowed_host_and_scheme(
        wanted, {request.get_host()}, require_https=request.is_secure()
    )
    try:
        answer = openid.begin(request, request.build_absolute_uri(reverse("openid-callback")))
    except AssayError as error:
        return _refusal(error)
    if request.user.is_authenticated:
        request.session[LINKS] = request.user.pk
    request.session[NEXT] = wanted if is_ours else reverse("admin:index")
    return answer


@never_cache
@require_GET
def callback(request: HttpRequest) -> HttpResponse:
    """Let somebody in whom the provider vouches for, or note who they are."""
    if not openid.is_on():
        raise Http404
    at, address = timezone.now(), address_of(request)
    links = request.session.pop(LINKS, None)
    try:
        claims = openid.finish(request)
        if request.user.is_authenticated and links == request.user.pk:
            identities.link_identity(claims, user=request.user, at=at)
            messages.success(request, f"From now on you log in with {settings.OIDC_NAME} too.")
        user = identities.log_in(claims, address=address, at=at)
    except AssayError as error:
        if not isinstance(error, Unavailable):
            _record(error, address, at)
        return _refusal(error)
    wanted = request.session.pop(NEXT, "") or reverse("admin:index")
    login(request, user, backend=BACKEND)
    return HttpResponseRedirect(wanted)


def _record(error: AssayError, address: str, at: datetime) -> None:
    """Leave an entry of a log-in that failed, the first of a period each; counted beyond."""
    rate, who = logins.rate_of_address(address)
    if rates.count(rate, who, at=at).is_over:
        return
    with transaction.atomic():
        audit.record(
            actor=AnonymousUser(),
            verb="user.login_failed",
            subject=None,
            label=logins.UNKNOWN,
            data={"address": address, "by": "provider", "code": error.code},
            at=at,
        )


def _refusal(error: AssayError) -> HttpResponse:
    status = 503 if isinstance(error, Unavailable) else 403
    page = {"title": "You are not logged in", "words": error.message}
    return HttpResponse(render_to_string("registry/admin/bare_error.html", page), status=status)
