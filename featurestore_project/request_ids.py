"""Every answer says which request it answers: the id that the log and the trail have of it too.

It is always ours: one that a client could choose would make its entries look like another's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lib.acts import act

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Environ = dict[str, Any]
    StartResponse = Callable[..., Any]
    Application = Callable[[Environ, StartResponse], Iterable[bytes]]

HEADER = "X-Request-Id"
#: Under which whoever read the request passes the id that it gave it.
KEY = "assay.request_id"


class WithRequestId:
    """A WSGI application around another; all that it does for a request is one act."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        with act(environ.get(KEY)) as request_id:

            def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
                return start_response(status, [*headers, (HEADER, str(request_id))], *rest)

            return self._application(environ, start)
