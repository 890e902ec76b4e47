"""The bearer tokens that the API takes: our own, and where one is set those of the provider."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils import timezone

from registry.accounts import openid
from registry.authentication import BearerAuthentication, bearer_token
from registry.operations.people.identities import find_by_token

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from rest_framework.request import Request

    from registry.models import ApiToken

#: Of a signed JWT; a token of ours has none.
DOTS = 2


class AnyBearer(BearerAuthentication):
    """A token of the provider is its user's own log-in: there is no ApiToken with it."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken | None] | None:
        text = bearer_token(request.META.get("HTTP_AUTHORIZATION", ""))
        if text is None or not openid.is_on() or text.count(".") != DOTS:
            return super().authenticate(request)
        at = timezone.now()
        return find_by_token(openid.verify(text, at=at), at=at), None
