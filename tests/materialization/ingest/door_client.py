"""Django's test client with the door of pushes in front, as the server has it.

Not for what is asked by it.
"""

from __future__ import annotations

from typing import Any

from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse
from django.test import Client
from django.test.client import ClientHandler

from serving.ingest.door import PushesFirst


class _Handler(ClientHandler):
    def __call__(self, environ: Any) -> Any:
        said: list[Any] = []

        def behind(_environ: Any, _start_response: Any) -> list[bytes]:
            said.clear()
            return []

        parts = PushesFirst(behind)(environ, lambda *answer: said.extend(answer))
        if not said:
            return super().__call__(environ)
        status, headers = said
        response: Any = HttpResponse(
            b"".join(parts), status=int(status.split()[0]), headers=dict(headers)
        )
        response.wsgi_request = WSGIRequest(environ)
        response.by_the_door = True
        return response


class DoorClient(Client):
    def __init__(self, **defaults: Any) -> None:
        super().__init__(HTTP_HOST="testserver", **defaults)
        self.handler = _Handler(self.handler.enforce_csrf_checks)
