"""Every answer says which request it answers: the id that the log and the trail have of it too.

It is always ours: one that a client could choose would make its entries look like another's. What
the client calls the request stands beside it in the log; see docs/decisions/0068.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lib.acts import act
from lib.tracing import called, said_by_caller

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Environ = dict[str, Any]
    StartResponse = Callable[..., Any]
    Application = Callable[[Environ, StartResponse], Iterable[bytes]]

HEADER = "X-Request-Id"
#: What the caller's own id of the request is answered in.
CALLERS_HEADER = "X-Caller-Request-Id"
#: Under which whoever read the request passes the id that it gave it.
KEY = "assay.request_id"


class WithRequestId:
    """A WSGI application around another; all that it does for a request is one act."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        said = said_by_caller(
            environ.get("HTTP_X_REQUEST_ID", ""),
            environ.get("HTTP_TRACEPARENT", ""),
            environ.get("HTTP_ASSAY_ASKED_THROUGH", ""),
        )
        with act(environ.get(KEY)) as request_id:
            more = [(HEADER, request_id)]

            def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
                return start_response(status, headers + more, *rest)

            if not said:
                return self._application(environ, start)
            if theirs := said.get("caller_request_id"):
                more.append((CALLERS_HEADER, theirs))
            with called(said):
                return self._application(environ, start)
