"""A database that goes away or fills up in the middle of a run: whatever was stored by then."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.db import DatabaseError, connection

from lib.errors import Unavailable
from materialization.models import MaterializationRun
from materialization.requests.sweep import sweep
from materialization.runner import run as runner
from tests.materialization.run_world import (
    AT,
    DRIVERS,
    ask,
    differences,
    fresh,
    offline,
    online,
    perform,
    snapshot,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def after_question(number: int, happens: Callable[[], None]) -> Iterator[list[int]]:
    """Have something happen after the n-th statement: the next one meets it, or the commit."""
    asked = [0]

    def count(execute: Callable[..., Any], *statement: Any) -> Any:
        found = execute(*statement)
        asked[0] += 1
        if asked[0] == number:
            happens()
        return found

    with connection.execute_wrapper(count):
        yield asked


def everything_is_there(version: Any) -> None:
    assert snapshot(version).rows == 4
    assert online(version, DRIVERS, at=AT)["avg_daily_trips"] == [11, 20, 30, None]
    assert online(version, DRIVERS, at=AT) == offline(version, DRIVERS, at=AT)
    assert differences(version, at=AT)[1] == []


def another_worker_ends(run: MaterializationRun, settings: Any) -> None:
    """Let the lease run out, unless somebody could still queue the run; then perform it."""
    at = AT + timedelta(seconds=settings.RUN_LEASE_SECONDS + 1)
    for _ in range(3):
        sweep(at=at)
        perform(run, at=at)
        if run.status == "succeeded":
            return
        at += timedelta(minutes=2)
    raise AssertionError(f"it is {run.status}: {run.error}")


@pytest.mark.database("postgresql")
@pytest.mark.parametrize("number", range(2, 60, 4))
def test_a_connection_that_is_lost_after_any_statement(version, settings, number):
    """As by a restart: the transaction under way is gone, and so is a commit that was asked for."""
    run = ask(version)
    url = connection.get_connection_params()
    known = {
        name: url[name] for name in ("dbname", "user", "password", "host", "port") if name in url
    }

    def restart() -> None:
        pid = connection.connection.info.backend_pid
        with psycopg.connect(**known, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

    with after_question(number, restart), suppress(DatabaseError, Unavailable):
        runner.run(run_id=run.pk, worker="a", clock=lambda: AT)
    connection.close()

    run.refresh_from_db()
    if run.status != "succeeded":
        another_worker_ends(run, settings)
    assert fresh(version).is_ready
    everything_is_there(version)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="a file that can be full")
@pytest.mark.parametrize("number", range(4, 60, 12))
def test_a_database_without_room_after_any_statement(version, settings, number):
    run = ask(version)
    connection.connection.execute("VACUUM")  # so that no page of it is free

    def fill() -> None:
        (pages,) = connection.connection.execute("PRAGMA page_count").fetchone()
        connection.connection.execute(f"PRAGMA max_page_count = {pages}")

    try:
        with after_question(number, fill), suppress(DatabaseError, Unavailable):
            runner.run(run_id=run.pk, worker="a", clock=lambda: AT)
    finally:
        connection.connection.execute("PRAGMA max_page_count = 1073741823")

    run.refresh_from_db()
    if run.status != "succeeded":
        another_worker_ends(run, settings)
    everything_is_there(version)
