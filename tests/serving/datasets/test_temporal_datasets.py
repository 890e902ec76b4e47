"""A dataset of a view with temporal accuracy is made of its events, and equal months later."""

from __future__ import annotations

from datetime import timedelta

import pytest

from materialization.edges.looks import look_at_sources
from materialization.edges.stores import offline_store
from materialization.queries import held_files, table_at
from tests.factories import make_cast, make_version
from tests.materialization.run_world import AT, HOUR, committed, fresh, materialize, write_rows
from tests.materialization.test_temporal_views import TEXT
from tests.serving.datasets_world import Caller, make, verify

pytestmark = pytest.mark.django_db
ASKED = {
    "name": "churn",
    "features": ["driver_windows:trips_1h", "driver_windows:last_3h"],
    "entities": {
        "driver_id": [1, 1, 2],
        "event_timestamp": [(AT - timedelta(minutes=20)).isoformat(), *[AT.isoformat()] * 2],
    },
}


@pytest.fixture
def cast(db, sources):
    with committed():
        return make_cast(root=str(sources))


def test_it_is_made_of_held_events_whatever_care_and_later_runs_do(client, cast, sources):
    rows = [(1, AT - timedelta(minutes=m), AT - timedelta(minutes=m), 0.5, m) for m in (10, 30, 55)]
    write_rows(sources, rows)
    with committed():
        version = make_version(cast, text=TEXT, look=look_at_sources)
        materialize(version)
    rows = run_often(version, sources, rows, first=1)
    store, place = offline_store(), table_at(fresh(version).table)
    store.care(place, keep=timedelta(0), compact=store.snapshot(place).version)
    caller = Caller(client, cast.consumer)
    caller.post(body=ASKED)
    made = make(AT + 100 * HOUR)
    before = caller.rows()

    run_often(version, sources, rows, first=20)
    place = table_at(fresh(version).table)
    compacted = store.care(
        place,
        keep=timedelta(0),
        compact=store.snapshot(place).version,
        held=held_files(fresh(version).table),
    )

    assert (made.status, made.error) == ("done", "")
    assert before["trips_1h"].to_pylist() == [2, 3, None]
    assert before["last_3h"].to_pylist() == [30, 10, None]
    assert compacted.compacted
    view = made.manifest["views"][0]
    assert [file["name"].partition("/")[0] for file in view["files"]] == ["__part=events"]
    assert verify(caller, AT + 200 * HOUR)["verdict"] == "equal"


def test_its_manifest_says_which_late_rows_no_run_reads_for_event_timing(client, cast, sources):
    write_rows(sources, [(1, AT, AT, 0.5, 1)])
    with committed():
        materialize(make_version(cast, text=TEXT, look=look_at_sources))
    Caller(client, cast.consumer).post(body={**ASKED, "timing": "event"})

    made = make(AT + 100 * HOUR)

    assert "may lack rows that arrived more than its longest window" in str(
        made.manifest["warnings"]
    )


def run_often(version, sources, rows, *, first):
    """Store a row a run, as often as makes files worth compacting; late ones of old times too."""
    for n in range(first, first + 17):
        rows = [*rows, (1, AT + n * HOUR, AT + n * HOUR, 0.5, n), (1, AT, AT + n * HOUR, 0.5, n)]
        write_rows(sources, rows)
        with committed():
            assert materialize(version, end=AT + n * HOUR).status == "succeeded"
    return rows
