"""Runs over rows of an HTTP server, from the definition to both stores."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from materialization.edges.looks import look_at_sources
from registry.models import AuditEntry, FeatureViewVersion
from registry.operations.lifecycle import reviews, submissions
from registry.reading.parsing import InvalidDefinitions
from tests.factories import apply, seen
from tests.materialization.run_world import AT, HOUR, committed, materialize, offline, online
from tests.materialization.test_arrival import DRIVERS, VIEW, definitions
from tests.sites import TOKEN, Asked, Said, Site

pytestmark = pytest.mark.django_db
WHOLE = """
kind: DataSource
name: trips
type: http
connection: shop
path: trips
schema: {driver_id: int64, event: timestamp, trips: int64}
event_timestamp: event
"""
IN_PAGES = f"""{WHOLE}
parameters: {{since: "{{since}}", until: "{{until}}"}}
rows: data.trips
paging: {{by: cursor, parameter: after, next: data.next}}
"""
WINDOWS = VIEW.replace(
    "features:\n  - {name: trips, type: int64}",
    """
aggregations: [{column: trips, functions: [sum, count], windows: [1d]}]
features:
  - {name: trips_sum_1d, type: int64}
  - {name: trips_count_1d, type: int64}""",
)


class Trips:
    """A server's trips, two on a page; it gives those of the time that is asked about."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.rows: list[tuple[int, datetime, int]] = []
        site.put("/v1/trips", self.answer)

    def add(self, *rows: tuple[int, datetime, int]) -> None:
        self.rows += rows

    def answer(self, asked: Asked) -> Said:
        said = [{"driver_id": d, "event": at.isoformat(), "trips": n} for d, at, n in self.rows]
        if "since" not in asked.query:
            return Said(said, headers={"ETag": f'"{hash(str(said))}"'})
        since, until = (datetime.fromisoformat(asked.query[n]) for n in ("since", "until"))
        said = [row for row in said if since < datetime.fromisoformat(str(row["event"])) <= until]
        begin = int(asked.query.get("after", 0))
        more = str(begin + 2) if begin + 2 < len(said) else None
        return Said({"data": {"trips": said[begin : begin + 2], "next": more}})


@pytest.fixture
def trips(site, settings, tmp_path: Path) -> Trips:
    path = tmp_path / "connections.toml"
    path.write_text(site.toml)
    path.chmod(0o600)
    settings.CONNECTIONS_FILE = str(path)
    return Trips(site)


def approved(cast, text: str) -> FeatureViewVersion:
    with committed():
        (draft,) = (each.draft for each in apply(text, cast, look=look_at_sources) if each.draft)
        submissions.submit_version(version=draft, actor=cast.author, at=AT, look=look_at_sources)
        reviews.approve_version(version=draft, packet_hash=seen(draft), actor=cast.steward, at=AT)
    versions = FeatureViewVersion.objects.select_related("feature_view__project", "table")
    return versions.get(pk=draft.pk)


def run(version, end):
    with committed():
        done = materialize(version, end=end)
    assert done.error == ""
    return done


def both(version, at, feature="trips"):
    said = online(version, DRIVERS, at=at)[feature]
    assert said == offline(version, DRIVERS, at=at)[feature]
    return said


def test_an_answer_that_is_as_it_was_is_not_read_again(trips, cast):
    trips.add((1, AT - 9 * HOUR, 10))
    version = approved(cast, definitions(WHOLE))

    first, same = run(version, AT), run(version, AT + HOUR)
    trips.add((2, AT - 8 * HOUR, 20), (1, AT - 7 * HOUR, 11))
    late = run(version, AT + 2 * HOUR)

    counts = [each.source_counts["parts_read"] for each in (first, same, late)]
    assert (counts, late.rows_offline) == ([1, 0, 1], 2)
    assert both(version, AT + 2 * HOUR) == [11, 20, None, None]


def test_pages_are_read_into_both_stores_and_asked_for_by_time(trips, cast):
    trips.add(*((1 + n % 3, AT - (9 - n) * HOUR, n) for n in range(7)))
    version = approved(cast, definitions(IN_PAGES))
    run(version, AT)
    assert both(version, AT) == [6, 4, 5, None]

    trips.add((4, AT - 2 * HOUR, 40), (1, AT + HOUR, 41))
    trips.site.asked.clear()
    run(version, AT + 2 * HOUR)

    assert both(version, AT + 2 * HOUR) == [41, 4, 5, 40]
    assert max(each.query["since"] for each in trips.site.asked) > "2"
    fetched = [each.query["since"] for each in trips.site.asked if "after" in each.query]
    assert all(each > f"{AT.year}" for each in fetched)


def test_windows_count_each_row_once(trips, cast):
    trips.add(*((1, AT - n * HOUR, 1) for n in range(1, 6)), (1, AT - HOUR, 1))
    version = approved(cast, definitions(IN_PAGES, WINDOWS))

    run(version, AT)

    assert both(version, AT, "trips_sum_1d") == [5, None, None, None]


def test_a_server_that_is_away_or_changes_stores_nothing(trips, cast):
    trips.add((1, AT - 9 * HOUR, 10))
    version = approved(cast, definitions(WHOLE))
    gone = trips.answer
    trips.site.put("/v1/trips", Said([{"driver": 1, "event": AT.isoformat(), "trips": 1}]))
    with committed():
        renamed = materialize(version)
    trips.site.put("/v1/trips", Said([{"driver_id": "x1", "event": AT.isoformat(), "trips": 1}]))
    with committed():
        mistyped = materialize(version, end=AT + HOUR)

    assert renamed.error.startswith("trips (shop: trips): the source has no column 'driver_id' any")
    assert "which was int64 when the version was submitted. Did you mean 'driver'" in renamed.error
    assert "trips (shop: trips), line 1: column 'driver_id': a value is not an" in mistyped.error
    trips.site.put("/v1/trips", gone)
    run(version, AT + 2 * HOUR)
    assert both(version, AT + 2 * HOUR) == [10, None, None, None]


@pytest.mark.parametrize("mask", ["", ", mask: hash"])
def test_a_value_that_is_not_of_its_type_is_told_unless_it_is_masked(trips, cast, mask):
    text = WHOLE.replace("trips: int64}", "trips: int64, phone: int64}")
    view = VIEW.replace("type: int64}", f"type: int64}}\n  - {{name: phone, type: string{mask}}}")
    row = {"driver_id": 1, "event": AT.isoformat(), "trips": 1}
    trips.site.put("/v1/trips", Said([{**row, "phone": 5550001}]))
    version = approved(cast, definitions(text, view))
    trips.site.put("/v1/trips", Said([{**row, "phone": "555-0002"}]))
    with committed():
        run = materialize(version)

    assert "column 'phone'" in run.error
    assert ("555-0002" in run.example + run.error) is not bool(mask)


def test_a_plan_says_what_the_server_says(trips, cast):
    trips.site.put("/v1/trips", Said(status=404))
    with committed(), pytest.raises(InvalidDefinitions, match="has nothing there .404.") as caught:
        apply(definitions(WHOLE), cast, look=look_at_sources)
    assert TOKEN not in str(caught.value)

    trips.site.put("/v1/trips", trips.answer)
    trips.add((1, AT - HOUR, 1))
    view = VIEW.replace("type: int64}", "type: int64}\n  - {name: more, type: int64}")
    with committed(), pytest.raises(InvalidDefinitions, match="more"):
        apply(definitions(WHOLE, view), cast, look=look_at_sources)


def test_neither_the_trail_nor_a_spec_nor_an_error_has_the_token(trips, cast):
    trips.add((1, AT - 9 * HOUR, 10))
    version = approved(cast, definitions(WHOLE))
    trips.site.put("/v1/trips", Said({"token": TOKEN}, status=401))
    with committed():
        failed = materialize(version)

    assert failed.status == "failed"
    assert "takes no log-in with the connection's token" in failed.error
    told = [failed.error, version.spec_json, *map(str, AuditEntry.objects.values())]
    assert not [each for each in told if TOKEN in each]
