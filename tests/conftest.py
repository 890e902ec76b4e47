"""What every test may ask for: a clean Redis, folders, the clock.

Not for servers (``servers``) or for making objects (``factories``).
"""

from __future__ import annotations

import gc
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests import environment  # isort: skip - first: it sets what the settings read

import hypothesis
import pytest
from django.db import connection
from django.test import Client
from whitenoise.middleware import WhiteNoiseMiddleware

from lib.connections import get_redis
from lib.shells import serve_others
from registry import locks
from registry.triggers import REMOVAL, statements
from serving.ingest import plans as pushing
from serving.online import plan_cache as reading
from serving.online.plan_cache import RegisteredEpochs
from serving.online.watching import WATCH
from tests import answers, databases, factories, feast, postgres, servers, sites, tapes

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    import redis


# No property is timed: a busy machine fails none. Their fixtures are made for all examples at once.
hypothesis.settings.register_profile(
    "assay",
    deadline=None,
    suppress_health_check=[
        hypothesis.HealthCheck.too_slow,
        hypothesis.HealthCheck.function_scoped_fixture,
    ],
)
hypothesis.settings.load_profile("assay")


def pytest_configure() -> None:
    # An xdist worker that inherited this would read the settings before its own conftest.
    os.environ.pop("DJANGO_SETTINGS_MODULE", None)
    serve_others()  # what tests do is done as a server does it, but where one says ``at_shell``


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """Nothing that is collected is garbage, so it is not looked for meanwhile."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what another database answers for (``tests/databases.py``)."""
    chosen = list(databases.runs_on(connection.vendor, map(databases.case_of, items)))
    left_out = [item for item, runs in zip(items, chosen, strict=True) if not runs]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item, runs in zip(items, chosen, strict=True) if runs]


def pytest_collection_finish() -> None:
    """What was collected and imported stays: looking through it again for garbage finds none."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    gc.unfreeze()  # so that libraries are taken down in their own order


@pytest.fixture(scope="session", autouse=True)
def _answers_are_as_the_schema_says() -> Iterator[None]:
    """Hold each answer that a test is given to the schema, whatever the test is about."""
    ask = Client.request

    def asked(client: Client, **request: Any) -> Any:
        response = ask(client, **request)
        path, status = request["PATH_INFO"], response.status_code
        is_json = response.get("Content-Type") == "application/json" and not response.streaming
        if path.startswith("/api/v1/") and 200 <= status < 300 and is_json:
            body = response.content if len(response.content) <= answers.MOST_BYTES else None
            if body and "Content-Encoding" not in response:
                assert answers.wrong_with(request["REQUEST_METHOD"], path, status, body) == []
        return response

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Client, "request", asked)
        yield


@pytest.fixture(scope="session", autouse=True)
def _static_files_are_found_once() -> Iterator[None]:
    """Each client of a test has middleware of its own, which looks for all files of the admin."""
    find = WhiteNoiseMiddleware.add_files_from_finders
    found: dict[str, Any] = {}

    def find_once(middleware: WhiteNoiseMiddleware) -> None:
        if not found:
            find(middleware)
            found.update(middleware.files)
        middleware.files.update(found)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WhiteNoiseMiddleware, "add_files_from_finders", find_once)
        yield


@pytest.fixture(scope="session")
def redis_process() -> Iterator[str]:
    """The session's real redis-server, at ``settings.REDIS_URL``."""
    with servers.redis_server(environment.STATE_DIR) as url:
        yield url


@pytest.fixture(scope="session")
def feast_python() -> str:
    """The interpreter of an environment that has Feast; without one the test is skipped."""
    return feast.interpreter()


@pytest.fixture(scope="session")
def postgres_process() -> Iterator[postgres.Server]:
    """The session's real PostgreSQL server, for sources."""
    with (
        tempfile.TemporaryDirectory(prefix="assay-pg-") as folder,
        postgres.postgres_server(Path(folder)) as server,
    ):
        yield server


@pytest.fixture
def storage() -> Iterator[str]:
    """Give the URL of a server of S3-compatible storage with nothing in it."""
    with servers.s3_server() as url:
        yield url


@pytest.fixture
def site() -> Iterator[sites.Site]:
    """Give a server that answers what a test says."""
    with sites.site() as made:
        yield made


@pytest.fixture
def warehouse(postgres_process: postgres.Server) -> postgres.Database:
    """An empty database of another system, and the connection that leads there."""
    return postgres.Database(postgres_process)


@pytest.fixture
def online_redis(redis_process: str) -> redis.Redis:
    """An empty Redis; what the code under test gets from ``get_redis``.

    What earlier tests read goes before: the process keeps notes of it, and sends them later.
    """
    WATCH.flush()
    client = get_redis()
    client.flushall()
    return client


#: False once a test that commits took the audit trail's triggers away, to be emptied.
_trail = {"guarded": True}


@pytest.fixture(autouse=True)
def _database_extras(request: pytest.FixtureRequest) -> Iterator[None]:
    """Give each test that has a database an empty Redis and a guarded audit trail.

    A test that commits is followed by Django's flush, which the trail's triggers would refuse.
    """
    if not _has_database(request):
        yield
        return
    request.getfixturevalue("_django_db_helper")
    request.getfixturevalue("online_redis")
    for plans in (reading.PLANS, pushing.PLANS):
        plans._registered = RegisteredEpochs()  # each test's projects have the same ids
    locks.watch(connection)
    if not _trail["guarded"]:
        _execute(statements(connection))
    tapes.begin(is_known=connection.in_atomic_block and not _patches_code(request))
    yield
    if not connection.in_atomic_block:
        locks.unwatch(connection)  # the flush empties tables in an order of its own
        _execute(REMOVAL[connection.vendor])
        _trail["guarded"] = False


def _has_database(request: pytest.FixtureRequest) -> bool:
    asked = databases.ASKING & set(request.fixturenames)
    return bool(asked) or request.node.get_closest_marker("django_db") is not None


def _patches_code(request: pytest.FixtureRequest) -> bool:
    """Tell whether the test, or a fixture of ours that it asks for, may change what code does."""
    asked = request.node._fixtureinfo
    ours = [each for found in asked.name2fixturedefs.values() for each in found if each.baseid]
    return any("monkeypatch" in names for names in (asked.argnames, *(f.argnames for f in ours)))


def _execute(statements: list[str]) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@pytest.fixture
def committed_cast(transactional_db: None) -> factories.Cast:
    """The people of every test, in a database where transactions commit."""
    return factories.make_cast()


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


@pytest.fixture
def as_(client: Client, cast: factories.Cast) -> Callable[[str], Client]:
    """Give the browser of one of the people, by name; of ``anonymous`` one without a login."""

    def login(who: str) -> Client:
        client.logout()
        if who != "anonymous":
            client.force_login(getattr(cast, who))
        return client

    return login
