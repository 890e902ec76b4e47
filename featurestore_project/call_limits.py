"""How many calls a minute one token may make, by the settings, by itself and by its account.

Counted in each process that answers, so that an online read asks nobody: of several each takes as
many. Not for what is refused too often (``registry.denials``), nor for who may call at all.
"""

from __future__ import annotations

import logging
import math
from http import HTTPStatus
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import Error as DatabaseError
from django.db import close_old_connections
from django.db.models import Q
from django.utils import timezone

from featurestore_project.problem import problem
from lib.metrics import Counter, unharmed
from registry.authentication import TOKEN_PREFIX, bearer_token, digest
from registry.models import ApiToken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    Environ = dict[str, Any]
    StartResponse = Callable[..., Any]
    Application = Callable[[Environ, StartResponse], Iterable[bytes]]

logger = logging.getLogger(__name__)

REFUSED = Counter("assay_calls_over_limit", "Calls refused as over a token's limit.", ())
SECONDS = 60
#: What is counted: pages and scrapes of metrics have other secrets, of whoever runs the server.
API = "/api/"
#: Tokens that a process counts at most.
MOST_TOKENS = 10_000


class Counted(NamedTuple):
    """The minute a token's calls are counted in, and how many came."""

    minute: int
    calls: int


class CallLimits:
    """A WSGI application around another; 429 for a token that called too often this minute.

    ``most`` is of each token, ``most_of`` of those of an account by its name; 0 is no limit. Of
    what tokens and accounts say themselves the least holds: who has which is asked once a minute,
    of all at once.
    """

    def __init__(
        self,
        application: Application,
        *,
        most: int,
        most_of: Mapping[str, int],
        now: Callable[[], datetime] = timezone.now,
    ) -> None:
        self._application, self._most, self._most_of, self._now = application, most, most_of, now
        self._counted: dict[str, Counted] = {}
        #: By the token's hash: the limits of those that have others than all.
        self._limits: dict[str, int] = {}
        self._asked_in = -1
        self._lock = Lock()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if not environ.get("PATH_INFO", "").startswith(API):
            return self._application(environ, start_response)
        seconds = self._now().timestamp()
        minute = int(seconds // SECONDS)
        limits = self._known(minute)
        if not limits and not self._most:  # nobody has one: whose token it is does not matter
            return self._application(environ, start_response)
        token = bearer_token(environ.get("HTTP_AUTHORIZATION", ""))
        if not token:
            return self._application(environ, start_response)
        key = digest(token)
        most = limits.get(key, self._most)
        if not most:
            return self._application(environ, start_response)
        calls = self._count(key, minute=minute)
        if calls <= most:
            return self._application(environ, start_response)
        if calls == most + 1:
            logger.warning("%s called more than %d times in a minute", _named(token), most)
        with unharmed():
            REFUSED.inc()
        refusal = _refusal(most, wait=math.ceil(SECONDS - seconds % SECONDS) or 1)
        start_response("429 Too Many Requests", list(refusal.items()))
        return [refusal.content]

    def _count(self, key: str, *, minute: int) -> int:
        with self._lock:
            before = self._counted.get(key)
            calls = before.calls + 1 if before is not None and before.minute == minute else 1
            self._counted[key] = Counted(minute, calls)
            if len(self._counted) > MOST_TOKENS:
                self._make_room(minute)
        return calls

    def _make_room(self, minute: int) -> None:
        """Forget what is of another minute; if most are of this one, half: those of few calls.

        Anybody can make tokens up, and none of those is worth a count of many calls.
        """
        counted = {key: each for key, each in self._counted.items() if each.minute == minute}
        if len(counted) > MOST_TOKENS // 2:
            by_calls = sorted(counted, key=lambda key: counted[key].calls)
            for key in by_calls[: len(counted) - MOST_TOKENS // 2]:
                del counted[key]
        self._counted = counted

    def _known(self, minute: int) -> dict[str, int]:
        """Return the limits, of this minute or the one before; one thread asks for all."""
        if minute == self._asked_in:
            return self._limits
        with self._lock:
            is_mine, self._asked_in = minute != self._asked_in, minute
        if is_mine:
            try:
                self._limits = limits_of_tokens(self._most, self._most_of, at=self._now())
            except DatabaseError as exc:  # online reads go on without it, by those of before
                logger.warning("limits of tokens cannot be asked (%s): those of before hold", exc)
                close_old_connections()  # the next asks by another connection
        return self._limits


def limits_of_tokens(most: int, most_of: Mapping[str, int], *, at: datetime) -> dict[str, int]:
    """Return the limit of each live token, by its hash, that has another than all: 0 is none."""
    own = Q(calls_per_minute__isnull=False) | Q(user__account__calls_per_minute__isnull=False)
    live = ApiToken.objects.filter(revoked_at=None, expires_at__gt=at)
    rows = live.filter(own | Q(user__username__in=list(most_of))).values_list(
        "digest", "user__username", "calls_per_minute", "user__account__calls_per_minute"
    )
    return {
        key: min((each for each in (most_of.get(name, most), *said) if each), default=0)
        for key, name, *said in rows
    }


def _named(token: str) -> str:
    """Return what the log says of a token: what is shown of ours, nothing of another secret."""
    if not token.startswith(TOKEN_PREFIX):
        return "a bearer token that is none of ours"
    return f"the token {token[: len(TOKEN_PREFIX) + 6]}…"


def _refusal(most: int, *, wait: int) -> Any:
    response = problem(
        HTTPStatus.TOO_MANY_REQUESTS,
        "too_many_calls",
        f"this token may make {most} calls a minute, and made them. Ask again in {wait} seconds,"
        " ask for more rows at once, or have the limit raised: a token has its own, its account may"
        " have one (calls_per_minute), and the server (CALLS_PER_MINUTE).",
        limit=most,
    )
    response["Retry-After"] = str(wait)
    return response
