"""Pages of other origins that may ask the API from a browser (CORS), by ``CORS_ORIGINS``.

Not for who may do what: such a page sends a token as every client does. Cookies of the admin are
never sent along, so no page acts as whoever is logged in there.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from featurestore_project.problem import problem
from lib.errors import SHOWN_LENGTH, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    Environ = dict[str, Any]
    StartResponse = Callable[..., Any]
    Application = Callable[[Environ, StartResponse], Iterable[bytes]]
    Headers = list[tuple[str, str]]

#: What a page may send beside what every page may, and read beside what every page can.
SENT = (
    "Authorization, Content-Type, Content-Encoding, Accept, If-None-Match, Range, If-Range,"
    " X-Request-Id, traceparent"
)
SEEN = (
    "X-Request-Id, X-Caller-Request-Id, ETag, Retry-After, Content-Disposition, Content-Range,"
    " Assay-Warnings, Assay-Next, Assay-Explain, WWW-Authenticate, Deprecation, Sunset"
)
#: Seconds for which a browser need not ask again.
MAX_AGE = "600"


class CrossOrigin:
    """A WSGI application around another; without ``origins`` it does nothing at all."""

    def __init__(self, application: Application, *, origins: Iterable[str]) -> None:
        self._application, self._origins = application, frozenset(origins)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if not self._origins or not environ.get("PATH_INFO", "").startswith("/api/"):
            return self._application(environ, start_response)
        origin = environ.get("HTTP_ORIGIN", "")
        is_known = origin in self._origins
        if _is_preflight(environ):
            return _preflight(origin, is_known=is_known, start_response=start_response)
        more = allowed(environ, self._origins)

        def start(status: str, headers: Headers, *rest: Any) -> Any:
            return start_response(status, [*headers, *more], *rest)

        return self._application(environ, start)


def allowed(environ: Environ, origins: Collection[str]) -> Headers:
    """Return the headers by which a browser lets a page see an answer, also one that refuses."""
    if not origins or not environ.get("PATH_INFO", "").startswith("/api/"):
        return []
    more: Headers = [("Vary", "Origin")]  # also without one: a cache may not mix them up
    if (origin := environ.get("HTTP_ORIGIN", "")) in origins:
        more.append(("Access-Control-Allow-Origin", origin))
        more.append(("Access-Control-Expose-Headers", SEEN))
    return more


def _is_preflight(environ: Environ) -> bool:
    """Tell whether a browser asks, without a token, whether a page may ask."""
    return (
        environ["REQUEST_METHOD"] == "OPTIONS"
        and "HTTP_ORIGIN" in environ
        and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
    )


def _preflight(origin: str, *, is_known: bool, start_response: StartResponse) -> Iterable[bytes]:
    if not is_known:
        shown = printable(origin)[:SHOWN_LENGTH]
        refusal = problem(
            HTTPStatus.FORBIDDEN,
            "origin_not_allowed",
            f"pages of {shown!r} may not ask this server. Whoever runs it lists them in"
            " CORS_ORIGINS.",
        )
        start_response("403 Forbidden", [*refusal.items(), ("Vary", "Origin")])
        return [refusal.content]
    headers = [
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Allow-Methods", "GET, HEAD, POST"),
        ("Access-Control-Allow-Headers", SENT),
        ("Access-Control-Max-Age", MAX_AGE),
        ("Vary", "Origin"),
        ("Content-Length", "0"),
    ]
    start_response("204 No Content", headers)
    return []
