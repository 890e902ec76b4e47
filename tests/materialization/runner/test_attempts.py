"""An attempt that commits and does not end the run: by the next one the source is another.

Whatever arrived in between is stored by the next run, and nothing is stored twice.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from lib.connections import RedisUnreachable
from materialization.models import MaterializationRun, SourcePart
from materialization.runner import run as runner
from materialization.runner import storing
from materialization.runner.heartbeat import Heartbeat
from tests.factories import make_version
from tests.materialization.run_world import (
    AT,
    HOUR,
    ask,
    committed,
    materialize,
    nothing_recorded,
    offline,
    online,
    perform,
    snapshot,
    write_rows,
)

if TYPE_CHECKING:
    from datetime import datetime

    from registry.models import FeatureViewVersion

pytestmark = pytest.mark.django_db

ALL = {"driver_id": [1001, 1002, 1003]}
EARLY = (1001, AT - 9 * HOUR, AT - 9 * HOUR, 0.5, 10)
MORE = (1002, AT - 4 * HOUR, AT - 4 * HOUR, 0.75, 20)
#: Lies in the window of the attempt that died, and arrives when that has committed.
LATE = (1003, AT - 3 * HOUR, AT - 3 * HOUR, 0.75, 30)
END = AT - 2 * HOUR


def die(run: MaterializationRun, *, at: datetime) -> None:
    """Leave what a worker leaves that commits, dies before the record, and is queued again."""
    before = list(SourcePart.objects.all())
    attempt = runner.claim(run.pk, worker="a", at=at)
    assert attempt is not None
    with nothing_recorded(), Heartbeat(attempt, clock=lambda: at) as heartbeat:
        storing.store_missing(attempt, heartbeat)
    SourcePart.objects.all().delete()
    SourcePart.objects.bulk_create(before)
    MaterializationRun.objects.filter(pk=run.pk).update(status="queued", rows_offline=0)


def check(version: FeatureViewVersion, run: MaterializationRun, *, stored: int) -> None:
    """``run`` stored so many rows, and the one after it what arrived in between."""
    found = run.source_counts
    assert (run.status, run.rows_offline, found["rows_stored"]) == ("succeeded", stored, stored)
    assert found["rows_read"] == found["rows_stored"] + found["already_stored"]
    assert online(version, ALL, at=END) == offline(version, ALL, at=END)
    assert online(version, ALL, at=END)["avg_daily_trips"] == [10, 20, None]
    with committed():
        following = materialize(version, end=AT)
    assert (following.rows_offline, following.source_counts["late"]) == (1, 1)
    assert online(version, ALL, at=AT) == offline(version, ALL, at=AT)
    assert online(version, ALL, at=AT)["avg_daily_trips"] == [10, 20, 30]
    assert snapshot(version).rows == 3


@pytest.mark.parametrize("is_backfill", [True, False])
def test_what_arrives_after_the_commit_of_a_worker_that_died_is_stored(cast, sources, is_backfill):
    write_rows(sources, [EARLY])
    with committed():
        version = make_version(cast)
    if not is_backfill:
        with committed():
            materialize(version, end=AT - 5 * HOUR)
    write_rows(sources, [EARLY, MORE])
    with committed():
        run = ask(version, end=END, at=END)
    die(run, at=END)
    write_rows(sources, [EARLY, MORE, LATE])

    with committed():
        perform(run, at=END)

    check(version, run, stored=2 if is_backfill else 1)


def test_what_arrives_while_redis_is_away_is_stored(cast, sources, settings):
    write_rows(sources, [EARLY, MORE])
    with committed():
        version = make_version(cast)
        run = ask(version, end=END, at=END)
    here, settings.REDIS_URL = settings.REDIS_URL, "unix:///nowhere/redis.sock"
    with pytest.raises(RedisUnreachable):
        perform(run, at=END)
    settings.REDIS_URL = here
    write_rows(sources, [EARLY, MORE, LATE])

    with committed():
        perform(run, at=END)

    check(version, run, stored=2)


def test_an_attempt_after_the_commit_does_not_open_the_source(cast, sources):
    """Neither its absence nor a check that it fails by now takes back what is published."""
    path = write_rows(sources, [EARLY])
    with committed():
        version = make_version(cast)
        run = ask(version, end=END, at=END)
    die(run, at=END)
    path.unlink()

    with committed():
        perform(run, at=END + timedelta(minutes=1))

    assert (run.status, run.rows_offline) == ("succeeded", 1)
    assert online(version, ALL, at=END)["avg_daily_trips"] == [10, None, None]
