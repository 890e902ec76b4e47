"""``GET definitions/export``: what is registered, as definitions that change nothing."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from assay import definition_of
from registry.choices import State
from registry.models import AuditEntry, FeatureViewVersion
from registry.operations.lifecycle import releases
from registry.operations.registration.roots import assign_root, move_root
from registry.reading.parsing import parse_files, parse_objects
from tests import factories
from tests.factories import AT, SOURCE, VIEW, apply, make_version

pytestmark = pytest.mark.django_db

URL = "/api/v1/projects/rides/definitions/export"
MORE = r"""
kind: DataSource
name: trips
type: file
path: trips/*.csv
event_timestamp: {column: at, unit: ms}
lookback: 3d
tags: {"no": "0o17", "team: x": "'"}
---
kind: FeatureView
name: trip_sums
version: "2.1.0"
entities: [driver]
source: trips
aggregations:
  - {column: fare, functions: [sum, {function: last_k, k: 3}], windows: [1d, 7d]}
  - {column: fare, name: long_fare, where: "city <> 'x'", functions: [sum], windows: [unbounded]}
where: "fare is not null"
features:
  - {name: long_fare_sum_unbounded, type: float64}
  - {name: share, type: float64, sql: "fare_sum_1d / nullif(long_fare_sum_unbounded, 0)"}
  - {name: fare_sum_1d, type: float64, checks: {min: 0, drift: {psi: 0.2}, warn: {not_null: 0.9}}}
  - {name: recent, column: fare_last_k_3_7d, type: list<float64>, sensitivity: confidential}
checks: {conditions: {positive: "fare_sum_1d >= 0 or fare_sum_1d is null"}, rows: {min: 1}}
schedule: {cron: "15 1 * * *"}
start: 2026-01-01T06:00:00+02:00
---
kind: FeatureView
name: trip_rows
entities: [driver]
source: trips
sql: |
  select driver_id, at, upper(city) as city,
    case when fare > 10 then 'dear' else 'a''b' end as kind,
    regexp_matches(city, '^[A-Z]\d+$') as coded, fare::double * 1.5e0 as more
  from trips where fare is not null and city in ('x', 'y')
features: [{name: city, type: string}, {name: kind, type: string}, {name: more, type: float64}]
description: "@here: 'quoted'\n  and indented\n"
online: false
freshness: 2h
---
kind: OnDemandFeatureView
name: busy
inputs: {features: ["driver_hourly:conv_rate"], request: {trips: int32, at: timestamp}}
features: [{name: ratio, type: float64, sql: "coalesce(conv_rate, 0) * trips / nullif(trips, 0)"}]
---
kind: FeatureService
name: eta
features: ["driver_hourly:*", "trip_sums:recent"]
description: ETA
"""


@pytest.fixture
def exporting(api, cast):
    """Return the documents of an export, by name."""

    def export(query="", *, client=None):
        response = (client or api(cast.consumer)).get(URL + query)
        assert response.status_code == 200, response.json()
        return {each["name"]: each for each in response.json()["results"]}

    return export


def changes_of(found, cast):
    text = "---\n".join(each["definition"] for each in found.values())
    return {(a.name, a.change) for a in apply(text, cast, dry_run=True)}


@pytest.fixture
def world(cast):
    make_version(cast, state=State.APPROVED)
    apply(MORE, cast, submit=True)


def test_an_export_of_every_kind_changes_nothing_when_applied(exporting, cast, world):
    found = exporting()

    assert [(each["kind"], name) for name, each in found.items()] == [
        ("Entity", "driver"),
        ("DataSource", "driver_stats"),
        ("DataSource", "trips"),
        ("OnDemandFeatureView", "busy"),
        ("FeatureView", "driver_hourly"),
        ("FeatureView", "trip_rows"),
        ("FeatureView", "trip_sums"),
        ("FeatureService", "eta"),
    ]
    assert changes_of(found, cast) == {(name, "unchanged") for name in found}
    assert (found["trip_sums"]["version"], found["trip_sums"]["state"]) == ("2.1.0", "in_review")
    assert 'version: "2.1.0"\n' in found["trip_sums"]["definition"]
    assert "checks: {}" not in found["trip_rows"]["definition"]
    assert "sql: |-\n  SELECT\n" in found["trip_rows"]["definition"]


def test_the_documents_are_the_same_and_objects_of_the_client_say_them(exporting, world):
    found = exporting().values()
    text = "---\n".join(each["definition"] for each in found)
    objects = [definition_of(each["document"]) for each in found]

    read = parse_objects([each.to_dict() for each in objects])

    assert [each.spec for each in read] == [each.spec for each in parse_files([("all", text)])]


def test_without_numbers_it_changes_nothing_either(exporting, cast, world):
    found = exporting("?unversioned=true")

    assert "version:" not in "".join(each["definition"] for each in found.values())
    assert changes_of(found, cast) == {(name, "unchanged") for name in found}


def test_an_export_registered_elsewhere_is_exported_the_same(api, exporting, cast, world):
    found = exporting()
    other = factories.make_project("copy", cast.owner)
    text = "---\n".join(each["definition"] for each in found.values())
    definitions = parse_files([("copy.yaml", text)])
    registration = {"project": other, "actor": cast.owner, "at": AT, "look": factories.look}
    factories.apply_definitions(definitions, submit=True, **registration)

    again = api(cast.owner).get(URL.replace("rides", "copy")).json()["results"]

    assert {each["name"]: each["definition"] for each in again} == {
        name: each["definition"] for name, each in found.items()
    }


def test_drafts_and_states_are_chosen(exporting, cast, world):
    apply(VIEW.replace("Conversion rate", "Share"), cast)

    assert "Share" not in exporting()["driver_hourly"]["definition"]
    (draft,) = exporting("?state=draft").values()
    assert (draft["name"], draft["state"], draft["version"]) == ("driver_hourly", "draft", None)
    assert "Share" in draft["definition"]
    assert changes_of({"d": draft}, cast) == {("driver_hourly", "unchanged")}
    assert set(exporting("?state=in_review")) == {"busy", "trip_rows", "trip_sums"}


def test_an_older_version_says_what_it_is_based_on(exporting, cast, world):
    apply(VIEW.replace("Conversion rate", "Share"), cast, submit=True)

    (approved,) = exporting("?state=approved").values()

    assert 'version: "1.0.0"\nbased_on: "1.0.0"\n' in approved["definition"]
    assert changes_of({"v": approved}, cast) == {("driver_hourly", "unchanged")}


def test_a_view_whose_source_went_on_is_exported_as_the_draft_of_it(exporting, cast, world):
    apply(SOURCE.replace("driver_stats.parquet", "newer.parquet"), cast)

    found = exporting()

    assert "version:" not in found["driver_hourly"]["definition"]
    assert changes_of(found, cast) == {(name, "unchanged") for name in found}


def test_a_moved_root_is_what_a_view_embeds_too(exporting, cast, tmp_path, settings):
    settings.FILE_ROOTS = [str(tmp_path)]
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    root = assign_root(project=cast.project, path=str(tmp_path / "a"), actor=None, at=AT)
    make_version(cast, state=State.APPROVED)
    assert changes_of(exporting(), cast) == {(name, "unchanged") for name in exporting()}
    move_root(root=root, path=str(tmp_path / "b"), actor=cast.superuser, at=AT)

    assert changes_of(exporting(), cast) == {(name, "unchanged") for name in exporting()}


def test_what_is_retired_or_was_never_submitted_is_left_out(exporting, cast):
    version = make_version(cast, state=State.APPROVED)
    apply(VIEW.replace("driver_hourly", "sketch"), cast)
    act = {"actor": cast.steward, "at": AT}
    releases.deprecate_version(version=version, **act)
    releases.retire_version(version=version, comment="over", **act)

    assert set(exporting()) == {"driver", "driver_stats"}
    assert set(exporting("?state=draft")) == {"sketch"}


def test_one_name_and_pages(api, exporting, cast, world):
    assert set(exporting("?name=trips")) == {"trips"}
    assert exporting("?name=nothing") == {}
    page = api(cast.consumer).get(f"{URL}?limit=3&offset=6").json()
    assert (page["count"], [each["name"] for each in page["results"]]) == (
        8,
        ["trip_sums", "eta"],
    )


def test_what_is_asked_does_not_grow_with_what_there_is(api, cast, world):
    client = api(cast.consumer)

    def asked() -> int:
        with CaptureQueriesContext(connection) as captured:
            client.get(URL)
        return len(captured.captured_queries)

    few = asked()
    for n in range(8):
        apply(VIEW.replace("driver_hourly", f"v{n}"), cast, submit=True)
    assert asked() == few


@pytest.mark.parametrize(
    ("who", "status"),
    [("outsider", 404), ("consumer", 200), ("auditor", 200), ("operator", 200), ("author", 200)],
)
def test_who_may_export(api, cast, world, who, status):
    entries = AuditEntry.objects.count()

    assert api(getattr(cast, who)).get(URL).status_code == status
    assert api().get(URL).status_code == 401
    assert api(cast.consumer).get(URL + "?state=retired").status_code == 422
    assert api(cast.consumer).get(URL + "?name=a%00").status_code == 422
    assert FeatureViewVersion.objects.exists()
    assert AuditEntry.objects.filter(verb__startswith="feature").count() <= entries
