"""What stands behind the short way to online features: Django's application, counting."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections


class Behind:
    """Django's application; counts what came through to it."""

    def __init__(self) -> None:
        self.calls = 0
        self._application = get_wsgi_application()

    def __call__(self, environ: Any, start_response: Any) -> Any:
        self.calls += 1
        # As Django's own test client does, which connects it again after each of its requests: a
        # request's beginning and end would close the test's transaction.
        for signal in (request_started, request_finished):
            signal.disconnect(close_old_connections)
        try:
            return list(self._application(environ, start_response))
        finally:
            for signal in (request_started, request_finished):
                signal.connect(close_old_connections)


@pytest.fixture
def behind() -> Behind:
    return Behind()
