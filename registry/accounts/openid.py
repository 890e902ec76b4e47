"""The OpenID provider that people log in with: how it is asked, and what its tokens say.

The protocol is Authlib's: discovery, the code flow with PKCE, state and nonce, keys and signatures.
Not for whose account a token is of: ``operations.people.identities``.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from authlib.integrations.base_client import OAuthError
from authlib.integrations.django_client import OAuth
from django.conf import settings
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.util import urlsafe_b64decode
from requests import RequestException

from lib.bodies import BadBody, json_object
from lib.errors import Unauthenticated, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from authlib.integrations.django_client import DjangoOAuth2App
    from django.http import HttpRequest, HttpResponseRedirect

    Claims = dict[str, Any]

#: Signatures by a private key of the provider; never ones that whoever knows our secret can make.
ALGORITHMS = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519",
]  # fmt: skip
#: Seconds that the provider may take for an answer, by which clocks may differ, and between two
#: looks for new keys: whoever sends tokens of unknown keys does not make us ask each time.
TIMEOUT_SECONDS, LEEWAY_SECONDS, KEYS_AGAIN_SECONDS = 5, 30, 60
#: Seconds for which nobody's token makes us ask a provider that did not answer.
AWAY_SECONDS = 30


class ProviderUnavailable(Unavailable):
    code = "provider_unavailable"


class ProviderRefused(Unauthenticated):
    """The provider, or what it says, does not let somebody in."""

    code = "provider_refused"


class ProviderTokenRefused(Unauthenticated):
    code = "provider_token_refused"


def is_on() -> bool:
    return bool(settings.OIDC_ISSUER)


def begin(request: HttpRequest, redirect_uri: str, *, anew: bool = False) -> HttpResponseRedirect:
    """Send somebody to the provider; what it must give back is kept in their session.

    ``anew``: whoever is logged in there by now has to log in once more.
    :raises ProviderUnavailable: it does not answer, or is another than it should be.
    """
    asked = {"acr_values": " ".join(settings.OIDC_REQUIRED_ACR), "prompt": "login" if anew else ""}
    with _translated():
        answer: HttpResponseRedirect = _client().authorize_redirect(
            request, redirect_uri, **{name: value for name, value in asked.items() if value}
        )
    return answer


def finish(request: HttpRequest) -> Claims:
    """Return what the provider says of somebody who comes back from it.

    :raises ProviderRefused: it did not let them in, or what they bring is not of this session, not
        signed by it, not for us, over, or not by the means that we want.
    :raises ProviderUnavailable: it does not answer.
    """
    with _translated():
        client = _client()
        token = client.authorize_access_token(request, leeway=LEEWAY_SECONDS)
        claims = dict(token.get("userinfo") or {})
        if claims and settings.OIDC_GROUPS_CLAIM not in claims:
            claims = _with_userinfo(client, token, claims)
    if not claims.get("sub"):
        raise ProviderRefused("the provider gave no ID token that says who you are.")
    require_strength(claims)
    return claims


def verify(text: str, *, at: datetime) -> Claims:
    """Return what a token of the provider says, sent to the API in place of one of ours.

    :raises ProviderTokenRefused: it is not signed by the provider, not for us, or over.
    :raises ProviderUnavailable: its keys cannot be had.
    """
    wanted = {
        "iss": {"essential": True, "value": settings.OIDC_ISSUER},
        "aud": {"essential": True, "values": settings.OIDC_AUDIENCES},
        "exp": {"essential": True},
        "sub": {"essential": True},
    }
    _look(text, at)
    try:
        token = _decode(text)
        registry = jwt.JWTClaimsRegistry(
            now=int(at.timestamp()),
            leeway=LEEWAY_SECONDS,
            **wanted,  # type: ignore[arg-type]
        )
        registry.validate(token.claims)
    except (JoseError, ValueError) as exc:
        raise ProviderTokenRefused(
            f"the token of the provider is refused: {str(exc) or type(exc).__name__}. Get a new one"
            " for this server, or send one of its own."
        ) from exc
    claims: Claims = token.claims
    require_strength(claims)
    return claims


def said_at(claims: Mapping[str, Any]) -> datetime | None:
    """Return when the provider said these things; None where it does not say."""
    said = claims.get("iat")
    if isinstance(said, bool) or not isinstance(said, (int, float)):
        return None
    try:
        return datetime.fromtimestamp(said, tz=UTC)
    except (OverflowError, ValueError, OSError):
        return None


def require_strength(claims: Mapping[str, Any]) -> None:
    """Return if somebody proved who they are by the means that the settings want.

    :raises ProviderRefused: a second factor, say, is missing; names what is wanted.
    """
    acr, amr = settings.OIDC_REQUIRED_ACR, settings.OIDC_REQUIRED_AMR
    if acr and claims.get("acr") not in acr:
        raise ProviderRefused(f"log in at the provider with one of: {', '.join(acr)} (acr).")
    used = claims.get("amr")
    if amr and not set(amr) & set(used if isinstance(used, list) else ()):
        raise ProviderRefused(f"log in at the provider with one of: {', '.join(amr)} (amr).")


def groups_of(claims: Mapping[str, Any]) -> list[str] | None:
    """Return the groups that are claimed; None where nothing is said of them."""
    said = claims.get(settings.OIDC_GROUPS_CLAIM)
    if said is None:
        return None
    return sorted({str(group) for group in (said if isinstance(said, list) else [said])})


def _with_userinfo(client: DjangoOAuth2App, token: Claims, claims: Claims) -> Claims:
    """Add what the provider says at its other address; some keep groups out of tokens."""
    if not client.load_server_metadata().get("userinfo_endpoint"):
        return claims
    more = client.userinfo(token=token)
    if more.get("sub") != claims.get("sub"):
        raise ProviderRefused("the provider speaks of somebody else at its userinfo address.")
    return {**more, **claims}


def _look(text: str, at: datetime) -> None:
    """Return if a token may be the provider's, by what it says itself: before anybody is asked.

    :raises ProviderTokenRefused: it says that it is not, or is over.
    """
    try:
        head, body = (json_object(urlsafe_b64decode(part.encode())) for part in text.split(".")[:2])
        is_theirs = head["alg"] in ALGORITHMS and body["iss"] == settings.OIDC_ISSUER
        is_over = float(body["exp"]) + LEEWAY_SECONDS < at.timestamp()
    except (KeyError, TypeError, ValueError, OverflowError, BadBody) as exc:
        raise ProviderTokenRefused("this is no token, of ours or of the provider.") from exc
    if not is_theirs or is_over:
        raise ProviderTokenRefused(
            "the token is over, or not of the provider that people log in with here."
        )


def _decode(text: str) -> jwt.Token:
    now = time.monotonic()
    if now - _away["since"] < AWAY_SECONDS:
        raise ProviderUnavailable("the OpenID provider did not answer a moment ago; try again.")
    try:
        return _verified(text)
    except ProviderUnavailable:
        _away["since"] = now
        raise


def _verified(text: str) -> jwt.Token:
    with _translated():
        keys = _client().fetch_jwk_set()
    try:
        return jwt.decode(text, KeySet.import_key_set(keys), algorithms=ALGORITHMS)
    except InvalidKeyIdError:
        if not _may_ask_for_keys_again():
            raise
    with _translated():
        keys = _client().fetch_jwk_set(force=True)
    return jwt.decode(text, KeySet.import_key_set(keys), algorithms=ALGORITHMS)


#: When the provider was last found away, by a clock that only goes on.
_away = {"since": -float(AWAY_SECONDS)}
_asked_again = {"at": -float(KEYS_AGAIN_SECONDS)}


def _may_ask_for_keys_again() -> bool:
    now = time.monotonic()
    if now - _asked_again["at"] < KEYS_AGAIN_SECONDS:
        return False
    _asked_again["at"] = now
    return True


def _client() -> DjangoOAuth2App:
    """Return the provider as Authlib asks it.

    :raises ProviderUnavailable: who answers at its address calls itself another.
    """
    client = _made(settings.OIDC_ISSUER, settings.OIDC_CLIENT_ID, settings.OIDC_CLIENT_SECRET)
    said = client.load_server_metadata().get("issuer")
    if said != settings.OIDC_ISSUER:
        raise ProviderUnavailable(
            f"the provider at OIDC_ISSUER calls itself {said!r}; set OIDC_ISSUER to exactly that,"
            " if it is the one that is meant."
        )
    return client


@lru_cache(maxsize=4)
def _made(issuer: str, client_id: str, secret: str) -> DjangoOAuth2App:
    client: DjangoOAuth2App = OAuth().register(
        "provider",
        client_id=client_id,
        client_secret=secret,
        server_metadata_url=f"{issuer.rstrip('/')}/.well-known/openid-configuration",
        client_kwargs={
            "scope": settings.OIDC_SCOPES,
            "code_challenge_method": "S256",
            "default_timeout": TIMEOUT_SECONDS,
        },
    )
    return client


@contextmanager
def _translated() -> Iterator[None]:
    """Ask the provider; what goes wrong is raised as what it means."""
    try:
        yield
    except RequestException as exc:
        raise ProviderUnavailable("the OpenID provider does not answer; try again.") from exc
    except (OAuthError, JoseError) as exc:
        words = getattr(exc, "description", "") or str(exc) or type(exc).__name__
        raise ProviderRefused(f"the provider's answer lets nobody in: {words}") from exc
