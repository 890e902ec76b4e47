"""The catalogue's lists and single objects: what they say, how they are searched and paged."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

import pytest
from django.db import connection
from django.db.models.signals import post_init
from django.test.utils import CaptureQueriesContext

from registry.choices import State
from registry.models import FeatureViewVersion
from registry.newest import MOST_SHOWN
from registry.operations.lifecycle import releases
from tests.factories import AT, DEFINITIONS, ENTITY, SOURCE, VIEW, apply, make_ready, make_version

if TYPE_CHECKING:
    from registry.models import FeatureView

pytestmark = pytest.mark.django_db

BASE = "/api/v1/projects/rides"
LISTS = ("entities", "data-sources", "feature-views", "feature-services")
RESTRICTED = """
kind: FeatureView
name: driver_private
description: Where drivers live
entities: [driver]
source: driver_stats
features: [{name: home_zip, type: string, sensitivity: restricted}]
tags: {domain: people, tier: gold}
owner: privacy
"""
CITY = "kind: Entity\nname: city\njoin_keys: [{name: City_ID, type: string}]\nowner: maps"
SERVICE = """
kind: FeatureService
name: eta_model
description: Arrival times
features: ["driver_hourly:conv_rate", "driver_private:*"]
tags: {domain: maps}
"""
EVERYTHING = "\n---\n".join((ENTITY, CITY, SOURCE, VIEW, RESTRICTED, SERVICE))


@pytest.fixture
def reader(api, cast):
    apply(EVERYTHING, cast)
    client = api(cast.consumer)

    def read(path: str, **query: str):
        return client.get(f"{BASE}/{path}", query)

    return read


def names(response) -> list[str]:
    assert response.status_code == 200, response.content
    return [row["name"] for row in response.json()["results"]]


@pytest.mark.parametrize("name", LISTS)
def test_an_empty_project_has_empty_lists(api, cast, name):
    response = api(cast.consumer).get(f"{BASE}/{name}")

    assert response.json() == {"count": 0, "next": None, "previous": None, "results": []}


def test_an_entity_says_its_keys(reader):
    assert reader("entities/city").json() == {
        "name": "city",
        "join_keys": [{"name": "City_ID", "type": "string"}],
        "description": "",
        "owner": "maps",
        "tags": {},
    }


def test_a_data_source_says_where_its_rows_and_times_are(reader):
    assert reader("data-sources/driver_stats").json() == {
        "name": "driver_stats",
        "type": "file",
        "path": "driver_stats.parquet",
        "root": "",
        "lookback": None,
        "event_timestamp": "event_timestamp",
        "created_timestamp": "created",
        "description": "",
        "owner": "",
        "tags": {},
    }


def test_a_feature_view_says_its_versions_and_features(reader):
    assert reader("feature-views/driver_private").json() == {
        "name": "driver_private",
        "description": "Where drivers live",
        "accuracy": None,
        "owner": "privacy",
        "tags": {"domain": "people", "tier": "gold"},
        "entities": ["driver"],
        "source": "driver_stats",
        "sources": [],
        "online": True,
        "ttl": None,
        "schedule": None,
        "freshness": None,
        "default_version": None,
        "version_count": 1,
        "versions": [
            {
                "version": None,
                "state": "draft",
                "ready": False,
                "default": False,
                "class": "first",
                "break_glass": None,
            }
        ],
        "features": [
            {
                "name": "home_zip",
                "type": "string",
                "sensitivity": "restricted",
                "description": "",
                "unit": "",
            }
        ],
    }


def test_a_feature_service_says_what_it_expanded(reader):
    found = reader("feature-services/eta_model").json()

    health = found.pop("health")
    assert [(each["feature"], each["health"]) for each in health] == [
        ("driver_hourly:conv_rate", "not_ready"),
        ("driver_private:home_zip", "not_ready"),
    ]
    assert found == {
        "name": "eta_model",
        "version": 1,
        "features": ["driver_hourly:conv_rate", "driver_private:home_zip"],
        "description": "Arrival times",
        "owner": "",
        "tags": {"domain": "maps"},
        "problems": [],
        "context": None,
    }


@pytest.mark.parametrize(
    ("path", "query", "found"),
    [
        ("entities", {}, ["city", "driver"]),
        ("entities", {"q": "CIT"}, ["city"]),
        ("entities", {"owner": "maps"}, ["city"]),
        ("entities", {"state": "draft"}, []),
        ("data-sources", {"tag": "domain"}, []),
        ("feature-views", {"q": "home"}, ["driver_private"]),
        ("feature-views", {"q": "drivers live"}, ["driver_private"]),
        ("feature-views", {"tag": "domain"}, ["driver_private"]),
        ("feature-views", {"tag": "domain:people"}, ["driver_private"]),
        ("feature-views", {"tag": "domain:rides"}, []),
        ("feature-views", {"owner": "rides"}, ["driver_hourly"]),
        ("feature-views", {"entity": "driver"}, ["driver_hourly", "driver_private"]),
        ("feature-views", {"entity": "city"}, []),
        ("feature-views", {"sensitivity": "restricted"}, ["driver_private"]),
        ("feature-views", {"sensitivity": "internal", "owner": "privacy"}, []),
        ("feature-views", {"state": "draft"}, ["driver_hourly", "driver_private"]),
        ("feature-views", {"state": "approved"}, []),
        ("feature-services", {"q": "arrival"}, ["eta_model"]),
        ("feature-services", {"tag": "domain:maps"}, ["eta_model"]),
        ("feature-services", {"sensitivity": "restricted"}, []),
    ],
)
def test_what_a_filter_finds(reader, path, query, found):
    assert names(reader(path, **query)) == found


def test_pages_lead_on_and_back(reader):
    first = reader("feature-views", limit="1", owner="", tag="").json()
    assert (first["count"], first["previous"]) == (2, None)
    assert first["next"].startswith(f"http://testserver{BASE}/feature-views?")

    second = reader(first["next"].removeprefix(f"http://testserver{BASE}/")).json()

    assert [row["name"] for row in first["results"] + second["results"]] == [
        "driver_hourly",
        "driver_private",
    ]
    assert second["next"] is None
    assert "offset=0" in second["previous"]


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "501"},
        {"limit": "many"},
        {"offset": "-1"},
        {"offset": "9" * 30},
        {"limit": "9" * 5000},
        {"state": "aproved"},
        {"sensitivity": "secret"},
    ],
)
def test_a_filter_that_means_nothing_is_refused(reader, query):
    response = reader("feature-views", **query)

    assert (response.status_code, response.json()["code"]) == (422, "invalid_filter")


def test_a_misspelt_state_is_told_the_nearest(reader):
    assert "Did you mean 'approved'?" in reader("feature-views", state="aproved").json()["detail"]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("entities/drivr", "Did you mean 'driver'?"),
        ("data-sources/nothing", "Valid: driver_stats."),
        ("feature-views/driver_hurly", "Did you mean 'driver_hourly'?"),
        ("feature-services/eta", "no feature service 'eta'"),
        ("feature-views/driver_hourly/versions/9.0.0", "has no version '9.0.0'"),
    ],
)
def test_a_name_that_is_not_there_names_the_nearest(reader, path, says):
    response = reader(path)

    assert response.status_code == 404
    assert says in response.json()["detail"]


@pytest.mark.parametrize("path", ["entities/%00", "feature-views/a%00b", "feature-views/x/y"])
def test_a_name_no_object_can_have_is_not_found(reader, path):
    assert reader(path).status_code == 404


@pytest.mark.parametrize(
    ("who", "status"),
    [
        ("anonymous", 401),
        ("outsider", 404),
        ("consumer", 200),
        ("auditor", 200),
        ("operator", 200),
        ("author", 200),
        ("steward", 200),
        ("superuser", 200),
    ],
)
@pytest.mark.parametrize("name", LISTS)
def test_everybody_with_a_role_may_look(api, cast, who, status, name):
    assert api(getattr(cast, who, None)).get(f"{BASE}/{name}").status_code == status


def test_a_view_is_described_by_its_default_while_a_draft_waits(api, cast):
    make_ready(make_version(cast))
    apply(VIEW.replace("acc_rate", "accept_rate") + "description: next\n", cast)

    view = api(cast.consumer).get(f"{BASE}/feature-views/driver_hourly").json()

    assert view["default_version"] == "1.0.0"
    assert view["description"] == ""
    assert [(each["version"], each["state"], each["default"]) for each in view["versions"]] == [
        (None, "draft", False),
        ("1.0.0", "approved", True),
    ]


def test_a_view_whose_versions_are_all_retired_keeps_its_shape(api, cast):
    version = make_version(cast)
    releases.retire_version(version=version, actor=cast.steward, at=AT)

    view = api(cast.consumer).get(f"{BASE}/feature-views/driver_hourly").json()

    assert view["default_version"] is None
    assert [each["state"] for each in view["versions"]] == [State.RETIRED]
    assert view["source"] == "driver_stats"


def many_versions(cast, count: int) -> FeatureView:
    """Return a view with so many submitted versions after its default, 1.0.0, as rows alone."""
    first = make_ready(make_version(cast))
    later = [copy(first) for _ in range(count)]
    for patch, version in enumerate(later, 1):
        version.pk, version.patch, version.state = None, patch, State.DRAFT
        version._state.adding = True
    made = FeatureViewVersion.objects.bulk_create(later)
    keys = [version.pk for version in made]
    FeatureViewVersion.objects.filter(pk__in=keys).update(state=State.IN_REVIEW)
    return first.feature_view


def test_of_very_many_versions_the_newest_and_the_default_are_shown(api, cast):
    many_versions(cast, MOST_SHOWN + 5)
    client = api(cast.consumer)

    view = client.get(f"{BASE}/feature-views/driver_hourly").json()

    assert (view["default_version"], view["version_count"]) == ("1.0.0", MOST_SHOWN + 6)
    numbers = [each["version"] for each in view["versions"]]
    assert numbers == [f"1.0.{MOST_SHOWN + 5 - n}" for n in range(MOST_SHOWN)] + ["1.0.0"]
    assert view["versions"][-1]["ready"]
    assert client.get(f"{BASE}/feature-views", {"state": "approved"}).json()["results"] == [view]


def test_all_versions_of_a_view_are_in_a_list_with_pages(api, cast):
    many_versions(cast, 7)
    make_version(cast, state=State.DRAFT, text=VIEW.replace("acc_rate", "accept_rate"))
    path = f"{BASE}/feature-views/driver_hourly/versions"

    def listed(**query: str) -> tuple[int, list[str | None]]:
        found = api(cast.consumer).get(path, query).json()
        return found["count"], [each["version"] for each in found["results"]]

    assert listed(limit="3") == (9, [None, "1.0.7", "1.0.6"])
    assert listed(limit="3", offset="7") == (9, ["1.0.1", "1.0.0"])
    assert listed(state="approved") == (1, ["1.0.0"])
    assert listed(state="retired") == (0, [])
    wrong = api(cast.consumer).get(path, {"state": "aproved"})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_filter")
    (line,) = api(cast.consumer).get(path, {"state": "approved"}).json()["results"]
    assert line["default"] and line["ready"] and line["freshness"]["overdue"] is False


@pytest.mark.parametrize(
    ("who", "status"), [("anonymous", 401), ("outsider", 404), ("consumer", 200), ("auditor", 200)]
)
def test_who_may_list_versions(api, cast, who, status):
    make_version(cast)
    path = f"{BASE}/feature-views/driver_hourly/versions"

    assert api(getattr(cast, who, None)).get(path).status_code == status


def test_definitions_are_read_of_what_is_shown_alone(api, cast):
    """However many versions a view has, and views a project that nobody searches."""
    many_versions(cast, 3 * MOST_SHOWN)
    apply("\n---\n".join(VIEW.replace("driver_hourly", f"view_{n}") for n in range(5)), cast)
    read = []

    def note(instance: FeatureViewVersion, **_: object) -> None:
        read.append(instance)

    def rows_read(path: str, **query: str) -> int:
        read.clear()
        post_init.connect(note, sender=FeatureViewVersion)
        try:
            assert api(cast.consumer).get(f"{BASE}/feature-views{path}", query).status_code < 500
        finally:
            post_init.disconnect(note, sender=FeatureViewVersion)
        return len(read)

    assert rows_read("/driver_hourly") <= MOST_SHOWN + 1
    assert rows_read("", limit="1", offset="5") <= 2
    assert rows_read("/driver_hourly/versions", limit="10") <= 11
    assert rows_read("/driver_hourly/versions/9.9.9") <= 2
    assert rows_read("", q="view_3") <= 10


def test_a_longer_list_asks_no_more_questions(api, cast):
    client = api(cast.consumer)

    def questions(path: str) -> int:
        with CaptureQueriesContext(
            connection,
        ) as asked:
            assert client.get(f"{BASE}/{path}").status_code == 200
        return len(asked)

    apply(EVERYTHING, cast)
    before = {path: questions(path) for path in LISTS}
    apply("\n---\n".join(VIEW.replace("driver_hourly", f"view_{n}") for n in range(5)), cast)
    apply("\n---\n".join(SERVICE.replace("eta_model", f"model_{n}") for n in range(5)), cast)

    assert {path: questions(path) for path in LISTS} == before


def test_the_projects_are_those_one_has_a_role_in(api, cast):
    assert api(cast.consumer).get("/api/v1/projects").json() == {
        "results": [{"name": "rides", "title": "rides"}]
    }
    assert api(cast.outsider).get("/api/v1/projects").json() == {"results": []}
    assert api().get("/api/v1/projects").status_code == 401


def test_the_trail_is_for_those_with_the_right(api, cast):
    make_version(cast, text=DEFINITIONS)

    assert api(cast.consumer).get(f"{BASE}/audit").status_code == 403
    trail = api(cast.auditor).get(f"{BASE}/audit", {"actor": "steward", "limit": "1"}).json()
    assert trail["count"] == 1
    (entry,) = trail["results"]
    assert (entry["verb"], entry["before"], entry["after"]) == (
        "feature_view_version.approved",
        "in_review",
        "approved",
    )
    assert entry["subject"] == "driver_hourly@1.0.0"
    drafts = api(cast.auditor).get(f"{BASE}/audit", {"subject": "driver_hourly@draft"}).json()
    assert [each["verb"] for each in drafts["results"]] == ["feature_view_version.drafted"]
