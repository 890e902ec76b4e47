"""Features that are computed at the request: online, in training sets, equal in both."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest

from registry.catalogue.named import wanted_of
from registry.catalogue.snippets import snippets
from registry.models import FeatureService
from registry.operations.lifecycle import releases
from tests import factories
from tests.serving import historical_world, online_world
from tests.serving.on_demand.world import RISK, approve
from tests.serving.online_world import columns, committed, load

pytestmark = pytest.mark.django_db

ALL = ["ride_risk:expected_fare", "ride_risk:per_trip", "ride_risk:fare_share"]


@pytest.fixture
def stored(cast, now):
    with committed():
        version = factories.make_version(cast)
    rows = [
        {"driver_id": 1, "event": now, "conv_rate": 0.5, "avg_daily_trips": 10},
        {"driver_id": 2, "event": now, "conv_rate": None, "avg_daily_trips": 0},
        {"driver_id": 3, "event": now - timedelta(days=9), "conv_rate": 1.0, "avg_daily_trips": 1},
    ]
    historical_world.commit(version, rows)
    return load(version, rows, at=now)


def test_it_is_computed_from_stored_and_request_values(client, cast, token, stored):
    approve(cast)

    body = {
        "features": [*ALL, "driver_hourly:avg_daily_trips"],
        "entities": {"driver_id": [1, 2, 3, 4], "fare": [20, 5.0, None, "NaN"]},
    }
    response = online_world.ask(client, token, body)

    found = columns(response)
    assert found["expected_fare"] == (
        [10.0, 0.0, None, "NaN"],
        [*["PRESENT"] * 2, "NULL_VALUE", "PRESENT"],
    )
    assert found["per_trip"] == ([2.0, None, None, None], ["PRESENT", *["NULL_VALUE"] * 3])
    assert found["fare_share"] == ([100, None, None, None], ["PRESENT", *["NULL_VALUE"] * 3])
    assert found["avg_daily_trips"][1] == ["PRESENT", "PRESENT", "OUTSIDE_MAX_AGE", "NOT_FOUND"]
    assert found["fare"] == (
        [20.0, 5.0, None, "NaN"],
        ["PRESENT", "PRESENT", "NULL_VALUE", "PRESENT"],
    )
    assert response.json()["metadata"]["value_types"] == [
        "int64", "float64", "float64", "float64", "int64", "int32",
    ]  # fmt: skip
    assert "ride_risk@1.0.0:fare_share" in response["Assay-Warnings"]
    assert "in 1 of 4 rows" in response["Assay-Warnings"]
    times = dict(
        zip(found, (each["event_timestamps"] for each in response.json()["results"]), strict=True)
    )
    assert times["per_trip"][:2] == times["avg_daily_trips"][:2]
    assert times["per_trip"][3].startswith("1970-01-01")


def test_training_sets_have_the_same_values(client, cast, token, stored, now):
    approve(cast)
    entities = {"driver_id": [1, 2, 3, 4], "fare": [20, 5.0, None, 7.5]}
    online = columns(online_world.ask(client, token, {"features": ALL, "entities": entities}))
    later = (now + timedelta(minutes=1)).isoformat()

    response = historical_world.ask(
        client, token, {"features": ALL, "entities": entities | {"event_timestamp": [later] * 4}}
    )

    trained = historical_world.answer(response)
    assert {name: trained[name] for name in ("expected_fare", "per_trip", "fare_share")} == {
        name: online[name][0] for name in ("expected_fare", "per_trip", "fare_share")
    }
    assert "fare_share: an operation had no result" in str(response.json())


def test_now_is_the_request_online_and_the_row_in_training_sets(client, cast, token, stored, now):
    approve(cast)
    seen = (datetime.now(UTC) - timedelta(minutes=90)).isoformat()
    asked = {"features": ["ride_risk:idle_minutes"]}

    online = columns(online_world.ask(client, token, asked | {"entities": {"seen": [seen]}}))
    rows = {
        "seen": ["2026-01-01T00:00:00Z"] * 2,
        "event_timestamp": ["2026-01-01T01:00:00Z", "2026-01-01T00:00:30Z"],
    }
    trained = historical_world.answer(
        historical_world.ask(client, token, asked | {"entities": rows})
    )

    assert online["idle_minutes"][0][0] in (90, 91)
    assert trained["idle_minutes"] == [60, 0]


@pytest.mark.parametrize(
    ("entities", "code", "says"),
    [
        ({"driver_id": [1]}, "missing_request_value", "'fare' (float64)"),
        ({"fare": [1]}, "missing_join_key", "'driver_id'"),
        ({"driver_id": [1], "fare": ["x"]}, "bad_key_value", "request value 'fare' is float64"),
        ({"driver_id": [1], "fare": [True]}, "bad_key_value", "true is not"),
        ({"driver_id": [1], "fare": [1], "seen": [1]}, "unknown_entity_column", "'seen'"),
    ],
)
def test_what_is_wrong_with_a_request_is_named(client, cast, token, stored, entities, code, says):
    approve(cast)

    response = online_world.ask(client, token, {"features": ALL, "entities": entities})

    assert (response.status_code, response.json()["code"]) == (422, code)
    assert says in response.json()["detail"]
    assert response.json().get("row") == (0 if code == "bad_key_value" else None)


def test_a_training_set_without_a_request_value_says_which(client, cast, token, stored):
    approve(cast)
    entities = {"driver_id": [1], "event_timestamp": ["2026-01-01"]}

    response = historical_world.ask(client, token, {"features": ALL, "entities": entities})

    assert (response.status_code, response.json()["code"]) == (422, "missing_entity_column")
    assert "'fare', a request value of ride_risk" in response.json()["detail"]


def test_arrow_has_it_typed(client, cast, token, stored, now):
    approve(cast)
    body = {"features": ["ride_risk:per_trip"], "entities": {"driver_id": [1, 4], "fare": [20, 1]}}

    response = client.post(
        online_world.PATH,
        body,
        content_type="application/json",
        headers={
            "Authorization": f"Bearer {token}",
            "Accept": "application/vnd.apache.arrow.stream",
        },
    )

    found = pa.ipc.open_stream(response.content).read_all()
    assert found["per_trip"].type == pa.float64()
    assert found["per_trip"].to_pylist() == [2.0, None]
    assert found["per_trip:status"].to_pylist() == ["PRESENT", "NULL_VALUE"]
    assert found["ride_risk@1.0.0:per_trip:event_timestamp"].to_pylist() == [now, None]


@pytest.mark.parametrize("door", [online_world, historical_world])
def test_who_may_not_read_an_input_may_not_read_what_is_computed_of_it(client, cast, token, door):
    text = factories.DEFINITIONS.replace(
        "{name: conv_rate, type: float32",
        "{name: conv_rate, type: float32, sensitivity: confidential",
    )
    with committed():
        version = factories.make_version(cast, text=text)
        factories.approve(version, cast.second_steward)
    load(version, [{"driver_id": 1, "event": factories.AT, "conv_rate": 0.5}], at=factories.AT)
    made = approve(cast)
    assert made.state == "in_review"  # as sensitive as what it is computed with: two approve it
    with committed():
        factories.approve(made, cast.second_steward)
    entities = {"driver_id": [1], "fare": [20]}
    if door is historical_world:
        entities["event_timestamp"] = ["2026-03-02"]

    response = door.ask(
        client, token, {"features": ["ride_risk:expected_fare"], "entities": entities}
    )

    assert "conv_rate" in response.json()["detail"]
    assert (response.status_code, response.json()["code"]) == (403, "grant_needed")
    assert "conv_rate" in response.json()["detail"]


def test_another_default_of_an_input_is_read_at_once(client, cast, token, stored, now):
    approve(cast)
    body = {"features": ["ride_risk:expected_fare"], "entities": {"driver_id": [1], "fare": [20]}}
    assert columns(online_world.ask(client, token, body))["expected_fare"][0] == [10.0]

    other = ("conv_rate, type: float32", "conv_rate, column: rate, type: float32")
    with committed():
        second = factories.make_version(cast, text=factories.VIEW.replace(*other))
    load(second, [{"driver_id": 1, "event": now, "conv_rate": 0.25}], at=now)
    with committed():
        releases.promote_version(version=second, actor=cast.steward, at=factories.AT)

    assert columns(online_world.ask(client, token, body))["expected_fare"][0] == [5.0]


def test_a_type_that_it_cannot_take_is_said_and_no_error_of_ours(client, cast, token, stored, now):
    approve(cast)
    text = factories.VIEW.replace("conv_rate, type: float32", "conv_rate, type: string")
    with committed():
        second = factories.make_version(cast, text=text)
    load(second, [{"driver_id": 1, "event": now, "conv_rate": "x"}], at=now)
    with committed():
        releases.promote_version(
            version=second, actor=cast.steward, at=factories.AT, force=True, comment="It has to."
        )
    body = {"features": ["ride_risk:expected_fare"], "entities": {"driver_id": [1], "fare": [20]}}

    response = online_world.ask(client, token, body)

    assert (response.status_code, response.json()["code"]) == (409, "on_demand_broken")
    assert "int64 and string have no kind in common" in response.json()["detail"]


def test_a_frame_of_text_brings_typed_request_values(client, cast, token, stored, now):
    approve(cast)
    later = (now + timedelta(minutes=1)).isoformat()
    query = "?features=ride_risk:expected_fare"

    def asked(fare):
        frame = f"driver_id,fare,event_timestamp\n1,{fare},{later}\n".encode()
        return historical_world.ask(client, token, frame, content_type="text/csv", query=query)

    assert historical_world.answer(asked("20.5"))["expected_fare"] == [10.25]
    refused = asked("dear")
    assert refused.status_code == 422
    assert "request value 'fare' is float64" in refused.json()["detail"]


FEES = """
kind: OnDemandFeatureView
name: fees
inputs: {features: ["driver_hourly:acc_rate"], request: {fare: "decimal(10,2)"}}
features:
  - {name: fee, type: "decimal(6,2)", sql: "round(fare * acc_rate, 2)"}
  - {name: small, type: "decimal(20,9)", sql: "acc_rate * 0.00001"}
"""


def test_decimals_are_exact_and_the_same_at_the_request_and_in_training_sets(
    client, cast, token, now
):
    text = factories.VIEW.replace("acc_rate, type: float32", "acc_rate, type: 'decimal(5,3)'")
    with committed():
        factories.make_version(cast)
        version = factories.make_version(cast, text=text)
    rates = [Decimal("0.150"), Decimal("99.999"), None, Decimal("-0.001")]
    rows = [{"driver_id": n, "event": now, "acc_rate": rate} for n, rate in enumerate(rates)]
    historical_world.commit(version, rows)
    load(version, rows, at=now)
    with committed():
        releases.promote_version(version=version, actor=cast.steward, at=factories.AT)
    approve(cast, FEES)
    features = ["fees:fee", "fees:small"]
    entities = {"driver_id": [0, 0, 1, 2, 3], "fare": ["10.50", 7, "12345678.90", "1.5", "1"]}

    answer = online_world.ask(client, token, {"features": features, "entities": entities})
    online = columns(answer)
    timed = entities | {"event_timestamp": [(now + timedelta(minutes=1)).isoformat()] * 5}
    body = {"features": features, "entities": timed}
    trained = historical_world.answer(historical_world.ask(client, token, body))

    assert online["fee"][0] == ["1.58", "1.05", None, None, "0.00"]
    assert online["small"][0] == [*["0.000001500"] * 2, "0.000999990", None, "-1.0E-8"]
    assert "had no result in 1 of 5 rows" in answer["Assay-Warnings"]
    assert [trained["fee"], trained["small"]] == [online["fee"][0], online["small"][0]]
    for fare, door in ((1.5, online_world), ("0.001", online_world), ("1e9", historical_world)):
        sent = (timed if door is historical_world else entities) | {"fare": [fare] * 5}
        refused = door.ask(client, token, {"features": features, "entities": sent})
        assert refused.status_code == 422
        assert "request value 'fare' is decimal(10,2)" in refused.json()["detail"]


def test_keys_of_inputs_may_be_under_other_names(client, cast, token, stored, now):
    approve(cast)
    later = (now + timedelta(minutes=1)).isoformat()
    body = {
        "features": ["ride_risk:fare_share"],
        "views": {"driver_hourly": {"join_keys": {"driver_id": "chosen"}}},
        "entities": {"chosen": [1], "event_timestamp": [later]},
    }

    answer = historical_world.answer(historical_world.ask(client, token, body))

    assert answer["fare_share"] == [100]


def test_a_prompt_tells_it(client, cast, token, stored):
    approve(cast)
    body = {"features": ["ride_risk:per_trip"], "entities": {"driver_id": [1], "fare": [20]}}

    response = client.post(
        "/api/v1/projects/rides/get-feature-context",
        body,
        content_type="application/json",
        headers={"Authorization": f"Bearer {token}"},
    )

    assert "per_trip=2.0" in response.json()["results"][0]["text"]


def test_its_page_says_how_it_is_read(cast, stored):
    made = approve(cast)
    feature = made.features.get(name="expected_fare")

    found = snippets(wanted_of(feature, "https://features.example"))

    assert [each.title for each in found] == ["Python", "curl", "Python, training set", "YAML"]
    assert "entity_rows=[{'driver_id': 1001, 'fare': 1.5}]" in found[0].text
    assert "# computed with what each row brings: fare (float64)\n" in found[0].text
    assert "    'fare': [1.5],\n" in found[2].text


def test_the_page_of_a_service_shows_what_a_request_brings(cast, as_, stored):
    approve(cast)
    service = "{kind: FeatureService, name: eta, features: ['ride_risk:*']}"
    with committed():
        factories.apply(service, cast)
    pk = FeatureService.objects.get(name="eta").pk

    page = as_("steward").get(f"/admin/registry/featureservice/{pk}/change/").content.decode()

    assert "computed with what each row brings: fare (float64), seen (timestamp)" in page
    assert "&#x27;seen&#x27;: [&#x27;2026-01-31T00:00:00Z&#x27;]" in page


@pytest.mark.parametrize("form", ["json", "csv"])
def test_a_number_beyond_its_type_is_refused_in_each_form(client, cast, token, stored, now, form):
    approve(cast, RISK.replace("fare: float64", "fare: float32"))
    later = (now + timedelta(minutes=1)).isoformat()
    if form == "json":
        entities = {"driver_id": [1], "fare": [1e300], "event_timestamp": [later]}
        body = {"features": ["ride_risk:expected_fare"], "entities": entities}
        response = historical_world.ask(client, token, body)
    else:
        frame = f"driver_id,fare,event_timestamp\n1,1e300,{later}\n".encode()
        query = "?features=ride_risk:expected_fare"
        response = historical_world.ask(client, token, frame, content_type="text/csv", query=query)

    assert response.status_code == 422
    assert "request value 'fare' is float32" in response.json()["detail"]
