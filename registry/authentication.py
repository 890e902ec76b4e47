"""Bearer tokens: finding the live token behind a text, and DRF's door that uses it.

Not for issuing or revoking: ``operations.people`` does. The online path checks tokens through its
plans and calls ``find_token`` only to make one.
"""

from __future__ import annotations

import hashlib
from copy import copy
from typing import TYPE_CHECKING, Any

from django.utils import timezone
from drf_spectacular import authentication as spectacular
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import authentication

from lib.errors import Unauthenticated
from registry import scopes
from registry.accounts.token_uses import note_uses
from registry.models import ApiToken

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User
    from rest_framework.request import Request

#: The next step, whatever became of a token.
NEXT_STEP = (
    "Make a new one under API tokens in the admin; for a service account an owner of the project"
    " does."
)
#: What to send, for those who sent nothing, or something else.
HOW_TO_ASK = (
    "send an API token in the header `Authorization: Bearer assay_…`. Tokens are made under API"
    " tokens in the admin, or by `assay login`."
)
TOKEN_PREFIX = "assay_"  # noqa: S105 - a visible mark for secret scanners, not a secret


class TokenMissing(Unauthenticated):
    code = "token_missing"


class TokenUnknown(Unauthenticated):
    code = "token_unknown"


class TokenExpired(Unauthenticated):
    code = "token_expired"


class TokenRevoked(Unauthenticated):
    code = "token_revoked"


def digest(text: str) -> str:
    """Return the SHA-256 kept of a token; tokens have 256 random bits, so no salt is needed."""
    return hashlib.sha256(text.encode()).hexdigest()


def bearer_token(header: str) -> str | None:
    """Return the token of an ``Authorization`` header, None when it is another scheme's."""
    scheme, _, text = header.partition(" ")
    return text.strip() if scheme.lower() == "bearer" else None


def find_token(text: str, *, at: datetime) -> ApiToken:
    """Return the live token; its user can do no more than it is for.

    :raises TokenUnknown: no such token, or its user or whoever made it is not active.
    :raises TokenExpired: its time is over; says when.
    :raises TokenRevoked: somebody ended it; says when.
    """
    tokens = ApiToken.objects.select_related("user", "project", "created_by")
    token = tokens.filter(digest=digest(text)).first()
    if token is None or not token.user.is_active:
        raise TokenUnknown(f"the token is not known. {NEXT_STEP}")
    if not token.created_by.is_active:
        raise TokenUnknown(
            f"the token {token.prefix}… was made by an account that is shut out. {NEXT_STEP}"
        )
    if token.revoked_at is not None:
        raise TokenRevoked(
            f"the token {token.prefix}… was revoked at {token.revoked_at:%Y-%m-%dT%H:%M:%SZ}."
            f" {NEXT_STEP}"
        )
    if at >= token.expires_at:
        raise TokenExpired(
            f"the token {token.prefix}… expired at {token.expires_at:%Y-%m-%dT%H:%M:%SZ}."
            f" {NEXT_STEP}"
        )
    scopes.limit(token.user, token)
    return token


class BearerAuthentication(authentication.BaseAuthentication):
    """``Authorization: Bearer assay_…``; ``request.auth`` is the ApiToken."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken | None] | None:
        text = bearer_token(request.META.get("HTTP_AUTHORIZATION", ""))
        if text is None:
            return None
        at = timezone.now()
        token = find_token(text, at=at)
        scopes.require_from(scopes.networks_of(token.networks), request.META)
        project = (request.parser_context or {}).get("kwargs", {}).get("project")
        if token.project is not None and project is not None and token.project.name != project:
            raise TokenUnknown(f"the token is limited to project {token.project}.")
        note_uses({token.pk: at})
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="assay"'


class SessionAuthentication(authentication.SessionAuthentication):
    """A log-in of the admin; its CSRF token comes in the header, never in a body.

    Whoever a body is read of is known by then, and its form is the view's matter.
    """

    def enforce_csrf(self, request: Request) -> None:
        bodyless = copy(request._request)
        bodyless.method = "PUT"  # of those the check looks at the headers only
        super().enforce_csrf(bodyless)  # type: ignore[arg-type]


def token_of(request: Request) -> ApiToken | None:
    """Return the API token the request came with; None for somebody logged in by a browser."""
    return request.auth if isinstance(request.auth, ApiToken) else None


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "registry.authentication.BearerAuthentication"
    match_subclasses = True
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}


class SessionScheme(spectacular.SessionScheme):  # type: ignore[no-untyped-call]
    target_class = "registry.authentication.SessionAuthentication"
