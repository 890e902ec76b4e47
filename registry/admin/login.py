"""The admin's log-in: Django's, with a limit on how many may fail and an entry for each.

Not for what a log-in allows: roles say that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.http import HttpResponse
from django.template.loader import render_to_string
from django.utils import timezone
from django.views.decorators.cache import never_cache

from lib.addresses import address_of
from registry import logins

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase


@never_cache
def login(request: HttpRequest) -> HttpResponseBase:
    """Show the form, or try a log-in; 429 when too many have failed."""
    typed = request.POST.get("username", "")
    if not (typed and request.POST.get("password")):
        return admin.site.login(request)
    at = timezone.now()
    try:
        tried = logins.begin(typed, address=address_of(request), at=at)
    except logins.TooManyFailures as error:
        return _refusal(error)
    response = admin.site.login(request)
    if request.user.is_authenticated and response.status_code == 302:
        logins.succeed(tried, user=request.user, at=at)
    else:
        logins.fail(tried, at=at)
    return response


def _refusal(error: logins.TooManyFailures) -> HttpResponse:
    page = {"title": "Too many failed log-ins", "words": error.message}
    return HttpResponse(
        render_to_string("registry/admin/bare_error.html", page),
        status=429,
        headers={"Retry-After": str(error.wait_seconds)},
    )
