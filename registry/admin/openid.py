"""Logging in at the OpenID provider, and what those are told whom that does not let in.

Not for the protocol (``accounts.openid``) or for whose account it is
(``operations.people.identities``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth import REDIRECT_FIELD_NAME, login
from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.models import AnonymousUser, User
from django.db import transaction
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET

from lib import rates
from lib.addresses import address_of
from lib.errors import AssayError, Unavailable
from registry import access, audit
from registry.accounts import logins, openid
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
    """Send somebody to the provider."""
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
    request.session.pop(LINKS, None)
    request.session[NEXT] = wanted if is_ours else reverse("admin:index")
    return answer


@never_cache
@sensitive_post_parameters("password")
def link(request: HttpRequest) -> HttpResponse:
    """Let somebody who is logged in say who they are at the provider, or that they are not.

    They type their password again and log in there anew: a browser that somebody left, or that
    another is logged in with at the provider, links nothing.
    """
    if not (openid.is_on() and settings.LOCAL_LOGIN):
        raise Http404
    if not request.user.is_authenticated:
        return HttpResponseRedirect(f"{reverse('admin:login')}?{urlencode({'next': request.path})}")
    at, words = timezone.now(), ""
    if request.method == "POST" and (refused := _why_not_theirs(request, at)):
        words = refused
    elif request.method == "POST" and (pk := request.POST.get("unlink", "")):
        for identity in request.user.identities.filter(pk=pk if pk.isdecimal() else 0):
            identities.unlink_identity(identity=identity, user=request.user, at=at)
    elif request.method == "POST":
        try:
            answer = openid.begin(
                request, request.build_absolute_uri(reverse("openid-callback")), anew=True
            )
        except AssayError as error:
            return _refusal(error)
        request.session[LINKS], request.session[NEXT] = request.user.pk, request.path
        return answer
    page = {"identities": request.user.identities.all(), "words": words, "title": "Log-ins"}
    return render(
        request,
        "registry/admin/openid_link.html",
        page | {"provider_name": settings.OIDC_NAME} | admin.site.each_context(request),
        status=403 if words else 200,
    )


def _why_not_theirs(request: HttpRequest, at: datetime) -> str:
    """Return why a typed password does not show that it is they; counted as a log-in is."""
    user = access.acting_user(request)
    try:
        tried = logins.begin(user.get_username(), address=address_of(request), at=at)
    except logins.TooManyFailures as error:
        return error.message
    if user.check_password(request.POST.get("password", "")):
        logins.take_back(tried, at=at)
        return ""
    logins.fail(tried, at=at)
    return "That is not your password."


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
