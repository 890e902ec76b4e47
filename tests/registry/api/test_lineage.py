"""Where features come from and what reads them, over HTTP."""

from __future__ import annotations

import pytest

from registry import lineage
from registry.lineage import Link
from registry.lineage_graph import Key
from registry.operations.lifecycle import releases
from registry.spec.references import Reference
from tests.factories import AT, VIEW, apply, make_ready, make_version

pytestmark = pytest.mark.django_db

URL = "/api/v1/projects/rides/lineage"
#: 1.1.0 of the view: one feature is computed by SQL, and rows are chosen by a column.
WRITTEN = """
kind: FeatureView
name: written
entities: [driver]
source: driver_stats
sql: SELECT driver_id, event_timestamp, created, a + b AS both FROM driver_stats WHERE a > c
features: [{name: both, type: float64}]
---
kind: OnDemandFeatureView
name: share
inputs: {features: ["driver_hourly:conv_rate", "written:both"], request: {total: float64}}
features:
  - {name: part, type: float64, sql: "conv_rate / nullif(total, 0)"}
  - {name: other, type: float64, sql: "both + 1"}
---
kind: FeatureService
name: eta_model
features: ["share:part", "driver_hourly@1.0.0:conv_rate", "driver_hourly@v1:acc_rate"]
"""


@pytest.fixture
def version(cast):
    return make_ready(make_version(cast))


@pytest.fixture
def trace(api, cast, version):
    apply(WRITTEN, cast)
    client = api(cast.consumer)

    def traced(path: str, **query: object):
        response = client.get(f"{URL}/{path}", query)
        assert response.status_code == 200, response.content
        return response.json()

    return traced


def steps(answer) -> list[tuple[int, str, str]]:
    return [(each["distance"], each["kind"], each["name"]) for each in answer["results"]]


@pytest.mark.parametrize(
    ("who", "status"), [("anonymous", 401), ("outsider", 404), ("consumer", 200)]
)
def test_lineage_is_for_those_who_may_see_the_project(api, cast, version, who, status):
    client = api() if who == "anonymous" else api(getattr(cast, who))

    assert client.get(f"{URL}/feature-view/driver_hourly").status_code == status


def test_a_column_leads_through_features_to_services(trace):
    answer = trace("column/driver_stats.conv_rate")

    assert steps(answer) == [
        (0, "column", "driver_stats.conv_rate"),
        (-1, "data-source", "driver_stats"),
        (1, "feature", "driver_hourly:conv_rate"),
        (2, "feature", "share:part"),
        (2, "feature-service", "eta_model"),
    ]
    assert answer["results"][3]["via"] == [
        {"kind": "feature", "name": "driver_hourly:conv_rate", "as": "value"}
    ]
    assert answer["results"][2] | {"via": [], "via_count": 0} == {
        "kind": "feature", "name": "driver_hourly:conv_rate", "distance": 1, "via": [],
        "via_count": 0, "type": "float32", "sensitivity": "internal", "state": "approved",
        "version": "1.0.0", "stored": True,
    }  # fmt: skip


def test_a_computed_feature_is_traced_to_the_columns_behind_it(trace):
    assert steps(trace("feature/share:other", direction="upstream")) == [
        (0, "feature", "share:other"),
        (-1, "feature", "written:both"),
        (-2, "column", "driver_stats.a"),
        (-2, "column", "driver_stats.b"),
        (-2, "column", "driver_stats.c"),
        (-3, "data-source", "driver_stats"),
    ]


def test_a_column_that_only_chooses_rows_is_told_apart(trace):
    answer = trace("feature/written:both", direction="upstream", depth=1)

    roles = {each["name"][-1]: each["via"][0]["as"] for each in answer["results"][1:]}
    assert roles == {"a": "value", "b": "value", "c": "filter"}


def test_a_pin_is_the_version_that_it_reads(trace, cast, version):
    second = make_ready(make_version(cast, text=VIEW.replace("acc_rate", "accept_rate")))
    releases.promote_version(version=second, actor=cast.steward, at=AT)

    service = trace("feature-service/eta_model", direction="upstream", depth=1)
    assert steps(service)[1:] == [
        (-1, "feature", "driver_hourly@1.0.0:acc_rate"),
        (-1, "feature", "driver_hourly@1.0.0:conv_rate"),
        (-1, "feature", "share:part"),
    ]
    assert steps(trace("feature/driver_hourly@2.0.0:conv_rate"))[0] == (
        (0, "feature", "driver_hourly:conv_rate")
    )


def test_a_view_is_its_features(trace):
    assert steps(trace("feature-view/driver_hourly", direction="upstream", depth=1))[:3] == [
        (0, "feature", "driver_hourly:acc_rate"),
        (0, "feature", "driver_hourly:avg_daily_trips"),
        (0, "feature", "driver_hourly:conv_rate"),
    ]
    assert steps(trace("feature-view/share", direction="upstream", depth=1))[0][2] == "share:other"


def test_steps_come_in_pages_and_are_bounded(trace):
    whole = trace("data-source/driver_stats")
    page = trace("data-source/driver_stats", limit=2, offset=1)

    assert page["count"] == whole["count"] == 14
    assert page["results"] == whole["results"][1:3]
    assert len(steps(trace("data-source/driver_stats", depth=1))) == 7


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("feature/driver_hourly:conv_rat", 404, "driver_hourly:conv_rate"),
        ("feature-view/driver_hourl", 404, "driver_hourly"),
        ("features/x", 404, "feature"),
        ("feature/%00", 404, "there is no feature"),
        ("dataset/a%00@1", 404, "there is no dataset"),
        ("column/../../x", 404, ""),
        ("feature/share:part?depth=51", 422, "1 to 50"),
        ("feature/share:part?depth=x", 422, "whole number"),
        (f"feature/share:part?depth=0010{'9' * 5000}", 422, "whole number"),
        ("feature/share:part?direction=up", 422, "upstream"),
    ],
)
def test_what_there_is_not_is_named(api, cast, trace, path, status, words):
    response = api(cast.consumer).get(f"{URL}/{path}")

    assert response.status_code == status
    assert words in response.json()["detail"]


def test_apps_above_add_what_reads_features(trace, cast, monkeypatch):
    reader = Key("dataset", "churn_2026")
    feature = Reference("share", None, "part")
    monkeypatch.setattr(lineage, "_links", {"dataset": lambda *_: [Link(feature, reader, {})]})

    assert steps(trace("feature/share:part", direction="downstream"))[1:] == [
        (1, "dataset", "churn_2026"),
        (1, "feature-service", "eta_model"),
    ]
