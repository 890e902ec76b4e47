"""Views of several sources from definition to readers: versions, packets, runs, both stores."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.test import override_settings
from msgspec.structs import replace

from materialization.choices import CertificateKind
from materialization.edges.looks import look_at_sources
from materialization.edges.sources import whereabouts
from materialization.finding.kinds import find_rows
from materialization.openlineage import EventType, Told, event
from materialization.requests.certificates import request_certificate
from materialization.requests.recomputing import request_backfill
from materialization.requests.runs import request_run
from materialization.runner.beside import wait_for_beside
from materialization.runner.certifying import certify
from materialization.runner.comparing_source import compare_source
from materialization.runner.looking import SourceStillWritten, still_written, work_of
from materialization.runner.parts import SourceChangedWhileRead, refuse_changed
from materialization.runner.run import claim
from registry.choices import State
from registry.contracts import contract_of
from registry.lineage import graph_of
from registry.lineage_graph import Key
from registry.looking import under_rights
from registry.models import DataSource, FeatureViewVersion
from registry.operations.lifecycle.packets import (
    SourceSwapped,
    check_files,
    files_since,
)
from registry.operations.registration import roots
from registry.operations.registration.exported import exported, names_in
from registry.reading.parsing import InvalidDefinitions
from registry.reading.writing import written
from registry.remembered import lowered
from registry.spec.change import classify
from registry.spec.differences import differences
from registry.spec.hash_keys import hash_keys
from tests.factories import ENTITY, apply, approve, make_version
from tests.materialization.run_world import (
    AT,
    HOUR,
    ask,
    committed,
    fresh,
    materialize,
    offline,
    online,
    perform,
)
from tests.materialization.runner.test_assaying import assayed

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.django_db
INSTANT = pa.timestamp("us", tz="UTC")
TRIPS = pa.schema(
    [("driver_id", pa.int64()), ("event", INSTANT), ("car_id", pa.int64()), ("km", pa.float64())]
)
CARS = pa.schema(
    [("car", pa.int64()), ("since", INSTANT), ("brand", pa.string()), ("rate", pa.float64())]
)
SOURCES = """
kind: DataSource
name: trips
type: file
path: trips/*.parquet
event_timestamp: event
---
kind: DataSource
name: cars
type: file
path: cars/*.parquet
event_timestamp: since
"""
VIEW = """
kind: FeatureView
name: driver_cars
entities: [driver]
source: trips
sources:
  - {name: cars, on: {car: car_id}, ttl: 100d}
sql: SELECT driver_id, event, cars.brand, cars.rate * km AS fare FROM trips
features:
  - {name: brand, type: string}
  - {name: fare, type: float64}
schedule: {every: 1h}
"""
DRIVERS = {"driver_id": [1, 2, 3]}


def definitions(view: str = VIEW, sources: str = SOURCES) -> str:
    return "\n---\n".join((ENTITY, sources, view))


def write(folder: Path, name: str, schema: pa.Schema, *rows: tuple[Any, ...]) -> Path:
    folder.mkdir(exist_ok=True)
    lines = [dict(zip(schema.names, row, strict=True)) for row in rows]
    pq.write_table(pa.Table.from_pylist(lines, schema=schema), folder / f"{name}.parquet")
    return folder / f"{name}.parquet"


@pytest.fixture
def trips(sources: Path) -> Path:
    write(sources / "trips", "a", TRIPS, (1, AT - 9 * HOUR, 7, 2.0), (2, AT - 9 * HOUR, 8, 3.0))
    return sources / "trips"


@pytest.fixture
def cars(sources: Path) -> Path:
    write(
        sources / "cars", "a", CARS,
        (7, AT - 99 * HOUR, "Volvo", 1.0), (7, AT - 5 * HOUR, "Volvo", 2.0),
    )  # fmt: skip
    return sources / "cars"


def made(cast, **options: Any) -> FeatureViewVersion:
    return make_version(cast, look=look_at_sources, **{"text": definitions()} | options)


def run(version, end, **asked: Any):
    with committed():
        done = materialize(version, end=end, **asked)
    assert done.status == "succeeded", done.error
    return done


def read(version, at) -> dict[str, list[Any]]:
    """Return what both stores say; they must say the same."""
    said = online(version, DRIVERS, at=at)
    assert said == offline(version, DRIVERS, at=at)
    return {name: said[name] for name in ("brand", "fare")}


def test_a_view_of_two_sources_is_computed_and_read(cast, trips, cars):
    version = made(cast)

    done = run(version, AT)

    assert done.rows_offline == 2
    assert read(version, AT) == {"brand": ["Volvo", None, None], "fare": [2.0, None, None]}
    write(trips, "b", TRIPS, (1, AT - HOUR, 7, 2.0))
    run(version, AT + HOUR)
    assert read(version, AT + HOUR)["fare"] == [4.0, None, None]


def test_the_version_embeds_both_as_they_are(cast, trips, cars):
    version = made(cast)

    (side,) = version.spec.joined
    assert side.source.name == "cars"
    assert side.root_identity == version.spec.root_identity
    assert side.schema.types == {
        "car": "BIGINT", "since": "TIMESTAMP WITH TIME ZONE", "brand": "VARCHAR", "rate": "DOUBLE"
    }  # fmt: skip
    names = names_in(cast.project, [State.APPROVED])
    text = "\n---\n".join(written(e.kind, e.spec) for e in exported(names, cast.project))
    assert "cars" in text
    assert {a.change for a in apply(text, cast, look=look_at_sources)} == {"unchanged"}


def test_rows_stay_as_they_were_computed_and_a_comparing_run_corrects_them(cast, trips, cars):
    version = made(cast)
    run(version, AT)
    write(cars, "b", CARS, (8, AT - 50 * HOUR, "Saab", 5.0))

    assert run(version, AT + HOUR).rows_offline == 0
    assert read(version, AT + HOUR)["brand"] == ["Volvo", None, None]
    with committed():
        again = request_backfill(
            version=version, start=None, end=None, at=AT + 2 * HOUR, actor=cast.operator
        )
        done = perform(again, at=AT + 2 * HOUR)
    assert done.rows_offline == 1
    assert read(version, AT + 2 * HOUR)["brand"] == ["Volvo", "Saab", None]
    assert offline(version, DRIVERS, at=AT + HOUR)["brand"] == ["Volvo", None, None]


def test_a_joined_file_that_changes_while_it_is_read_stores_nothing(cast, trips, cars):
    version = made(cast)
    claimed = claim(ask(version).pk, worker="one", at=AT)
    work = work_of(claimed, whereabouts(version.spec, cast.project), claimed.window)
    refuse_changed(work)
    write(cars, "a", CARS, (7, AT - 99 * HOUR, "Saab", 9.0))

    with pytest.raises(SourceChangedWhileRead, match=r"cars/a\.parquet changed while it was read"):
        refuse_changed(work)


def test_a_joined_file_that_is_still_written_is_waited_for(cast, trips, cars, settings):
    """What a run leaves out of a joined source no later run would come back for."""
    version = made(cast)
    run(version, AT)
    write(trips, "b", TRIPS, (1, AT + 0.5 * HOUR, 8, 1.0))
    write(cars, "b", CARS, (8, AT - 50 * HOUR, "Saab", 5.0))
    old = time.time() - 3600
    for path in (cars / "a.parquet", trips / "a.parquet", trips / "b.parquet"):
        os.utime(path, (old, old))
    settings.SOURCE_SETTLE_SECONDS = 1800
    asked = request_run(version=fresh(version), window_end=AT + HOUR, at=AT + HOUR, actor=None)
    claimed = claim(asked.pk, worker="one", at=AT + HOUR)
    where = whereabouts(version.spec, cast.project)
    found, now = find_rows(version.spec, where), time.time()
    age = timedelta(seconds=1800)

    with pytest.raises(SourceStillWritten, match=r"cars/b\.parquet changed less than 1800 s ago"):
        wait_for_beside(
            replace(found, beside=(_Old(found.beside[0], "a.parquet"),)),
            now=now, age=age, still_written=still_written,
        )  # fmt: skip
    with pytest.raises(SourceStillWritten):
        work_of(claimed, where, claimed.window)
    wait_for_beside(found, now=now + 1801, age=age, still_written=still_written)


class _Old:
    """A source one file of which was written long ago; the time of a change nobody can set."""

    def __init__(self, source, name):
        self.source, self.name = source, name

    def parts(self):
        return tuple(
            part._replace(changed_at=0.0) if part.name.endswith(self.name) else part
            for part in self.source.parts()
        )


def test_a_comparison_waits_for_joined_files_as_runs_do(cast, trips, cars, settings):
    version = made(cast)
    run(version, AT)
    settings.SOURCE_SETTLE_SECONDS = 3600
    asked = request_certificate(
        version=fresh(version), kind=CertificateKind.SOURCE, sample=None, at=AT, actor=None
    )

    with pytest.raises(SourceStillWritten, match=r"cars/a\.parquet"):
        compare_source(asked, watch=lambda _: None)


def test_a_swapped_joined_file_is_not_approved(cast, trips, cars):
    version = made(cast, state=State.IN_REVIEW)
    assert any(name.startswith("cars: ") for name in version.packet["source"]["files"])
    write(cars, "b", CARS, (9, AT, "Saab", 9.0))
    assert "1 file is new or changed" in files_since(version)
    check_files(version)
    write(cars, "a", CARS, (7, AT - 99 * HOUR, "Saab", 9.0))

    with pytest.raises(SourceSwapped, match=r"cars: .*a\.parquet is another"):
        check_files(version)


def test_a_joined_source_that_changed_its_types_is_told(cast, trips, cars):
    version = made(cast)
    other = CARS.set(3, pa.field("rate", pa.string()))
    write(cars, "a", other, (7, AT - 99 * HOUR, "Volvo", "much"))

    with committed():
        done = materialize(version, end=AT)

    assert done.status == "failed"
    assert "joined source cars: " in done.error
    assert "it was DOUBLE when the version was submitted" in done.error


def test_editing_a_joined_source_makes_a_major_draft(cast, trips, cars):
    version = made(cast)
    moved = definitions(sources=SOURCES.replace("cars/*.parquet", "cars/a.parquet"))

    changes = {each.name: each for each in apply(moved, cast, look=look_at_sources)}

    assert changes["driver_cars"].draft.pk != version.pk
    paths = {each.path for each in differences(version.spec, changes["driver_cars"].draft.spec)}
    assert "joined.cars.source.path" in paths
    assert "joined source cars: it or its timestamps changed" in " ".join(
        classify(version.spec, changes["driver_cars"].draft.spec).reasons
    )


def test_lineage_and_the_sources_page_name_the_columns_of_both(cast, trips, cars):
    made(cast)

    graph = graph_of(cast.project)
    contract = contract_of(DataSource.objects.get(name="cars"))

    above = graph.above[Key("feature", "driver_cars@1.0.0:fare")]
    assert {key.name: role for key, role in above.items()} == {
        "cars.rate": "value", "trips.km": "value", "cars.car": "filter", "trips.car_id": "filter",
    }  # fmt: skip
    columns = {column.name: column.features for column in contract.columns}
    assert columns == {
        "car": ["driver_cars@1.0.0:brand", "driver_cars@1.0.0:fare"],
        "since": [], "brand": ["driver_cars@1.0.0:brand"], "rate": ["driver_cars@1.0.0:fare"],
    }  # fmt: skip


CARDS = """
kind: FeatureView
name: car_rates
entities: [car]
source: cars
features: [{name: rate, type: float64, sensitivity: restricted}]
"""
CAR = """
kind: Entity
name: car
join_keys: [{name: car, type: int64}]
"""


def test_a_feature_is_as_sensitive_as_the_joined_column_it_is_made_of(cast, trips, cars):
    known = make_version(cast, text="\n---\n".join((CAR, SOURCES, CARDS)), look=look_at_sources)
    approve(known, cast.second_steward)
    draft = made(cast, state=State.DRAFT)

    said = {each.feature: str(each) for each in lowered(cast.project, draft.spec)}

    assert set(said) == {"fare"}
    assert "the column cars.rate" in said["fare"]


def test_what_is_not_there_is_refused_by_name(cast, trips, cars):
    with pytest.raises(InvalidDefinitions, match="there is no data source 'cart'"):
        apply(definitions(VIEW.replace("name: cars", "name: cart").replace("cars.", "cart.")), cast)


def test_what_the_look_finds_of_a_joined_source_stands_with_it(cast, trips, cars):
    with pytest.raises(InvalidDefinitions) as refused:
        apply(definitions(VIEW.replace("cars.rate", "cars.rates")), cast, look=look_at_sources)

    (problem,) = refused.value.problems
    assert problem.key == "sources[0].name"
    assert "rates" in problem.message and "rate" in problem.message


@pytest.mark.parametrize(
    ("view", "words"),
    [
        (VIEW.replace("ttl: 100d", "ttl: soon"), "duration 'soon'"),
        (VIEW.replace("on: {car: car_id}", "on: {}"), "name the columns that are equal"),
        (VIEW.replace("name: cars", "name: trips"), "the view's own source already"),
        (VIEW.replace("sql: ", "python: a.b:c #"), "the view has none. Windows and Python"),
        (
            VIEW.replace("cars.brand", "'x' AS brand").replace("cars.rate", "2"),
            "no column of 'cars'",
        ),
        (VIEW.replace("cars.rate * km", "trips::VARCHAR || cars.rate"), "'trips' is a whole row"),
        (VIEW.replace("event,", "date_trunc('day', event) AS event,"), "have the SQL give event"),
        (VIEW.replace("event,", "km AS event,"), "the source's own event: have the SQL"),
    ],
)
def test_what_a_definition_gets_wrong_is_said(cast, view, words):
    with pytest.raises(InvalidDefinitions, match=words):
        apply(definitions(view), cast)


def test_a_source_and_a_view_of_one_name_are_refused(cast):
    view = VIEW.replace("sql: ", 'views: [{features: ["cars:rate"], on: {car: car_id}}]\nsql: ')

    with pytest.raises(InvalidDefinitions, match="'cars' is what `views` reads as well"):
        apply(definitions(view), cast)


def test_a_comparison_with_the_sources_tells_late_joined_rows_from_lost_ones(cast, trips, cars):
    version = made(cast)
    run(version, AT)
    write(cars, "b", CARS, (8, AT - 50 * HOUR, "Saab", 5.0))
    asked = request_certificate(
        version=fresh(version), kind=CertificateKind.SOURCE, sample=None, at=AT, actor=None
    )

    with committed():
        certify(certificate_id=asked.pk, worker="w", clock=lambda: AT)

    asked.refresh_from_db()
    assert (asked.status, asked.late, asked.missing) == ("equal", 1, 0)


def test_lineage_events_tell_both_sources(cast, trips, cars):
    spec = made(cast).spec
    told = Told("assay", "rides", "driver_cars", "1.0.0", 1, AT, AT, "increment")

    said = event(EventType.COMPLETE, told, spec, at=AT)

    assert [each["name"] for each in said["inputs"]] == ["rides.trips", "rides.cars"]
    names = [field["name"] for field in said["inputs"][1]["facets"]["schema"]["fields"]]
    assert names == ["brand", "car", "rate", "since"]
    lineage = said["outputs"][0]["facets"]["columnLineage"]
    fares = {(f["name"], f["field"]) for f in lineage["fields"]["fare"]["inputFields"]}
    assert fares == {("rides.trips", "km"), ("rides.cars", "rate")}
    assert {(f["name"], f["field"]) for f in lineage["dataset"]} == {
        ("rides.trips", "car_id"), ("rides.cars", "car"),
    }  # fmt: skip


def test_pages_show_what_is_joined_and_who_reads_a_joined_source(cast, trips, cars, client):
    version = made(cast)
    source = DataSource.objects.get(name="cars")
    client.force_login(cast.author)

    page = client.get(f"/admin/registry/featureviewversion/{version.pk}/change/").content.decode()
    of_source = client.get(f"/admin/registry/datasource/{source.pk}/change/").content.decode()
    looked = client.post(f"/admin/registry/datasource/{source.pk}/look/").content.decode()

    assert "Joins" in page and "cars/*.parquet" in page
    assert "at most 100d old" in page
    assert "driver_cars" in of_source and "brand" in of_source
    assert "BIGINT" in looked and "gone" not in looked


BRANDS = """
kind: FeatureView
name: car_brands
entities: [car]
source: cars
features: [{name: brand, type: string, mask: hash}]
"""


def test_a_joined_column_hashes_as_it_does_where_it_is_read_alone(cast, trips, cars):
    masked = VIEW.replace("{name: brand, type: string}", "{name: brand, type: string, mask: hash}")
    alone = made(cast, text="\n---\n".join((CAR, SOURCES, BRANDS)), state=State.DRAFT)
    beside = made(cast, text=definitions(masked))

    keys = [hash_keys(version.spec, b"secret") for version in (alone, beside)]
    run(beside, AT)

    assert keys[0] == keys[1]
    stored = read(beside, AT)["brand"]
    assert len(stored[0]) == 64 and stored[1:] == [None, None]


def test_a_mask_over_what_stands_beside_as_it_is_is_refused(cast, trips, cars):
    masked = VIEW.replace("cars.brand", "cars.car AS driver_id, cars.car AS brand").replace(
        "{name: brand, type: string}", "{name: brand, type: string, mask: hash}"
    )

    with pytest.raises(InvalidDefinitions, match=r"brand: cars\.car stands in every row as it is"):
        apply(definitions(masked.replace("SELECT driver_id, ", "SELECT ")), cast)


def test_no_row_is_looked_at_for_somebody_who_may_not_read_a_joined_column(cast, trips, cars):
    rates = make_version(cast, text="\n---\n".join((CAR, SOURCES, CARDS)), look=look_at_sources)
    approve(rates, cast.second_steward)
    write(cars, "b", CARS, (8, None, "Saab", 5.0))

    look = under_rights(look_at_sources, cast.author, at=AT)
    applied = apply(definitions(), cast, look=look)

    (view,) = (each for each in applied if each.name == "driver_cars")
    assert "no row of source 'trips' was looked at" in " ".join(view.warnings)
    assert "beside them" not in " ".join(view.warnings)


def test_a_root_that_moves_makes_drafts_of_views_that_join_what_is_under_it(
    cast, trips, sources, tmp_path
):
    (tmp_path / "garage").mkdir()
    settings_roots = [str(sources), str(tmp_path)]
    with override_settings(FILE_ROOTS=settings_roots):
        root = roots.assign_root(
            project=cast.project, path=str(tmp_path / "garage"), actor=None, at=AT, name="garage"
        )
        write(tmp_path / "garage" / "cars", "a", CARS, (7, AT - 99 * HOUR, "Volvo", 1.0))
        text = SOURCES.replace("path: cars/*.parquet", "path: cars/*.parquet\nroot: garage")
        version = made(cast, text=definitions(sources=text))
        run(version, AT)
        (tmp_path / "other").mkdir()

        (moved,) = roots.move_root(
            root=root, path=str(tmp_path / "other"), actor=cast.superuser, at=AT
        )
        refused = materialize(version, end=AT + HOUR)

        assert (moved.name, moved.reasons) == (
            "driver_cars", ["joined source cars: its place changed"],
        )  # fmt: skip
        assert (refused.status, refused.error_code) == ("failed", "root_moved")
        assert refused.error.startswith("joined source cars: root 'garage' is in another place")
        with pytest.raises(roots.RootInUse, match=r"driver_cars@1\.0\.0"):
            roots.release_root(root=root, actor=cast.superuser, at=AT)


def test_a_joined_column_may_be_encoded(cast, trips, cars):
    fit = f"{{from: 2020-01-01, to: {AT.isoformat()}}}"
    encoded = VIEW.replace(
        "{name: fare, type: float64}",
        f"{{name: fare, type: float64, encode: {{steps: [min_max], fit: {fit}}}}}",
    )
    write(trips, "b", TRIPS, (1, AT - 2 * HOUR, 7, 5.0), (1, AT - HOUR, 7, 3.5))
    version = made(cast, text=definitions(encoded), state=State.IN_REVIEW)
    assayed(version)
    approve(version, cast.steward)

    run(version, AT)

    # Of 2 (at a rate of 1), 10 and 7 (at a rate of 2) the last.
    assert read(version, AT)["fare"] == [pytest.approx(5 / 8), None, None]


def test_columns_of_a_source_and_features_of_a_view_stand_beside_one_row(cast, trips, cars):
    rates = CARDS.replace(", sensitivity: restricted", "") + "schedule: {every: 1h}\n"
    first = made(cast, text="\n---\n".join((CAR, SOURCES, rates)))
    run(first, AT)
    both = VIEW.replace("cars.rate * km", "cars.rate * km + car_rates.rate").replace(
        "sql: ", 'views: [{features: ["car_rates:rate"], on: {car: car_id}}]\nsql: '
    )

    version = made(cast, text=definitions(both))
    run(version, AT)

    # Two kilometres at a rate of 1, and that rate as the other view has it.
    assert read(version, AT)["fare"] == [3.0, None, None]
    above = graph_of(cast.project).above[Key("feature", "driver_cars:fare")]
    assert {"cars.rate", "trips.km", "car_rates:rate"} <= {key.name for key in above}
