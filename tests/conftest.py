"""What every test may ask for: a clean Redis, folders, the clock.

Not for servers (``servers``) or for making objects (``factories``).
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tests import environment  # isort: skip - first: it sets what the settings read

import pytest

from registry.connections import get_redis
from tests import factories, servers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import redis


def pytest_configure() -> None:
    # An xdist worker that inherited this would read the settings before its own conftest.
    os.environ.pop("DJANGO_SETTINGS_MODULE", None)


@pytest.fixture(scope="session")
def redis_process() -> Iterator[str]:
    """The session's real redis-server, at ``settings.REDIS_URL``."""
    with servers.redis_server(environment.STATE_DIR) as url:
        yield url


@pytest.fixture
def online_redis(redis_process: str) -> redis.Redis:
    """An empty Redis; what the code under test gets from ``get_redis``."""
    client = get_redis()
    client.flushall()
    return client


@pytest.fixture(autouse=True)
def _empty_redis(request: pytest.FixtureRequest) -> None:
    """Give each test that has a database an empty Redis too: operations change epochs there."""
    if {"db", "transactional_db"} & set(request.fixturenames) or request.node.get_closest_marker(
        "django_db"
    ):
        request.getfixturevalue("online_redis")


@pytest.fixture
def at() -> datetime:
    """The instant at which a test happens."""
    return datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def sources(settings, tmp_path: Path) -> Path:
    """A folder whose files a project may read."""
    folder = tmp_path / "sources"
    folder.mkdir()
    settings.FILE_ROOTS = [str(folder)]
    return folder


@pytest.fixture
def cast(db: None) -> factories.Cast:
    """The people of every test, in the project ``rides``."""
    return factories.make_cast()
