"""Jobs about views that are exact at any instant: of a frame and of all entities, in pieces."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from materialization.edges.looks import look_at_sources
from tests import factories
from tests.materialization.run_world import AT, committed, materialize, write_rows
from tests.materialization.test_temporal_views import TEXT
from tests.serving.historical_world import answer, ask
from tests.serving.jobs_world import Caller, make

pytestmark = pytest.mark.django_db

NOW = datetime.now(UTC)
FEATURES = ["driver_windows:trips_1h", "driver_windows:last_3h"]
TIMES = [(AT - timedelta(minutes=minutes)).isoformat() for minutes in (0, 20, 40, 61)]


@pytest.fixture
def cast(db, sources):
    with committed():
        return factories.make_cast(root=str(sources))


@pytest.mark.parametrize(
    "about",
    [
        {"entities": {"driver_id": [1, 2, 1, 3], "event_timestamp": TIMES}},
        {"all_entities": {"at": TIMES}},
    ],
)
def test_its_rows_are_those_of_one_answer(client, cast, sources, settings, about):
    minutes = [(driver, m) for driver in (1, 2, 4) for m in (1, 10, 30, 55, 70)]
    write_rows(
        sources,
        [(d, AT - timedelta(minutes=m), AT - timedelta(minutes=m), 0.5, m) for d, m in minutes],
    )
    with committed():
        materialize(factories.make_version(cast, text=TEXT, look=look_at_sources))
    body = {"features": FEATURES, **about}
    at_once = answer(ask(client, factories.token_for(cast.consumer), body))
    settings.HISTORICAL_MAX_ROWS = 3
    caller = Caller(client, cast.consumer)

    job = caller.ask({**body, "timing": "event"})
    made = make(job, NOW)

    assert "may lack rows that arrived more than its longest window" in made.found["warnings"][-1]
    rows = caller.rows(job)
    assert (made.status, made.error) == ("done", "")
    assert made.rows == len(at_once["driver_id"])
    assert any(value is not None for value in at_once["trips_1h"])
    for name in ("driver_id", *(each.partition(":")[2] for each in FEATURES)):
        assert rows[name].to_pylist() == at_once[name]
