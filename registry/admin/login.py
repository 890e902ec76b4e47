"""The admin's log-in: Django's, with a limit on how many may fail and an entry for each.

Not for what a log-in allows: roles say that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib import admin
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.http import HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache

from lib.addresses import address_of
from registry.accounts import logins, openid

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

NO_PASSWORDS = "Log in with the provider: the log-in page has the way there."
admin.site.login_template = "registry/admin/login.html"


@never_cache
def login(request: HttpRequest) -> HttpResponseBase:
    """Show the form, or try a log-in; 429 when too many have failed."""
    if request.method == "POST" and not settings.LOCAL_LOGIN:
        return _answer("Passwords are not taken here", NO_PASSWORDS, status=403)
    typed = request.POST.get("username", "")
    if not (typed and request.POST.get("password")):
        return _form(request)
    at = timezone.now()
    try:
        tried = logins.begin(typed, address=address_of(request), at=at)
    except logins.TooManyFailures as error:
        return _refusal(error)
    response = _form(request)
    if request.user.is_authenticated and response.status_code == 302:
        logins.succeed(tried, user=request.user, at=at)
    else:
        logins.fail(tried, at=at)
    return response


def _form(request: HttpRequest) -> HttpResponseBase:
    """Do as Django's log-in does, with the way to the provider on its page."""
    wanted = request.GET.get(REDIRECT_FIELD_NAME, "")
    query = f"?{urlencode({REDIRECT_FIELD_NAME: wanted})}" if wanted else ""
    return admin.site.login(
        request,
        {
            "has_passwords": settings.LOCAL_LOGIN,
            "provider": f"{reverse('openid-login')}{query}" if openid.is_on() else "",
            "provider_name": settings.OIDC_NAME,
        },
    )


def _refusal(error: logins.TooManyFailures) -> HttpResponse:
    answer = _answer("Too many failed log-ins", error.message, status=429)
    answer["Retry-After"] = str(error.wait_seconds)
    return answer


def _answer(title: str, words: str, *, status: int) -> HttpResponse:
    page = {"title": title, "words": words}
    return HttpResponse(render_to_string("registry/admin/bare_error.html", page), status=status)
