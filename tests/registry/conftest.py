"""What the registry's tests share: clients with real tokens, and a database that really commits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rest_framework.test import APIClient

from tests import factories

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.contrib.auth.models import User


@pytest.fixture
def api(settings) -> Callable[..., APIClient]:
    """Make a client that speaks with a token of ``user``; for nobody, one without a token."""
    settings.SOURCE_LOOK = "tests.factories.look"

    def client(user: User | None = None, *, token: str = "") -> APIClient:
        made = APIClient()
        if user is not None:
            token = factories.token_for(user)
        if token:
            made.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
        return made

    return client


@pytest.fixture
def robot(cast) -> User:
    """A service account that may write definitions."""
    return factories.make_service_account("robot", cast)
