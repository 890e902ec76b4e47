"""Runs beside changes of the registry: nobody waits for somebody who waits for them."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection, transaction

from materialization.models import MaterializationRun
from materialization.requests.runs import NotMaterializable, request_run
from materialization.runner import run as runner
from materialization.runner import storing
from materialization.runner.heartbeat import Heartbeat
from materialization.runner.loading import Load
from registry import audit, epoch
from registry.operations.lifecycle import releases
from tests.factories import AT
from tests.materialization.run_world import ask, fresh

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        "connection.vendor == 'sqlite'", reason="SQLite runs one writing transaction at a time"
    ),
]


def closing(call: Callable[[], Any]) -> Any:
    try:
        return call()
    finally:
        connection.close()


def until_somebody_waits() -> None:
    deadline = time.monotonic() + 60
    while True:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return
        assert time.monotonic() < deadline, "nobody came to wait"
        time.sleep(0.01)


def test_a_run_is_published_beside_a_change_of_its_project(version):
    claimed = runner.claim(ask(version).pk, worker="a", at=AT)
    with Heartbeat(claimed, clock=lambda: AT) as heartbeat:
        storing.store_missing(claimed, heartbeat)

    with ThreadPoolExecutor(1) as pool:
        with epoch.change(version.feature_view.project_id):
            publishing = pool.submit(closing, lambda: runner._publish(claimed, AT, Load(0, None)))
            until_somebody_waits()
            audit.record(actor=None, verb="project.changed", subject=version, at=AT)
        publishing.result(60)

    assert fresh(version).is_ready


def test_a_version_that_is_being_retired_gets_no_run(cast, version):
    loaded = fresh(version)

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            releases.retire_version(
                version=fresh(version), actor=cast.steward, at=AT, force=True, comment="wrong"
            )
            asking = pool.submit(
                closing,
                lambda: request_run(version=loaded, window_end=AT, at=AT, actor=cast.operator),
            )
            until_somebody_waits()
        with pytest.raises(NotMaterializable, match="is retired"):
            asking.result(60)

    assert not MaterializationRun.objects.exists()
