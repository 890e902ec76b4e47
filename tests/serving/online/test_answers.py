"""get-online-features: values, the four statuses, order, keys, names, Feast's JSON."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from lib.connections import get_redis
from lib.instants import timestamp
from registry.operations.lifecycle import releases
from serving.edges import online_limits
from serving.online.read import get_online_features
from serving.online.request import OnlineRequest
from tests import factories
from tests.serving.online_world import ask, columns, committed, loaded_view, write

pytestmark = pytest.mark.django_db

MICROSECOND = timedelta(microseconds=1)
TRIPS = ["driver_hourly:avg_daily_trips"]
SPEND = """
kind: Entity
name: purchase
join_keys: [{name: shop, type: string}, {name: customer, type: string}]
---
kind: DataSource
name: purchases
type: file
path: purchases.parquet
event_timestamp: at
---
kind: FeatureView
name: spend
entities: [purchase]
source: purchases
features: [{name: amount, type: float64}, {name: avg_daily_trips, type: int32}]
"""
EVERYTHING = """
kind: Entity
name: thing
join_keys: [{name: day, type: date}, {name: thing_id, type: int32}]
---
kind: DataSource
name: things
type: file
path: things.parquet
event_timestamp: at
---
kind: FeatureView
name: things
entities: [thing]
source: things
features:
  - {name: a_bool, type: bool}
  - {name: a_float, type: float64}
  - {name: an_int, type: int64}
  - {name: a_text, type: string}
  - {name: some_bytes, type: bytes}
  - {name: an_instant, type: timestamp}
  - {name: a_date, type: date}
  - {name: a_decimal, type: "decimal(10,2)"}
  - {name: a_list, type: list<int64>}
  - {name: a_vector, type: vector<2>}
  - {name: a_json, type: json}
"""


@pytest.fixture
def drivers(cast, now):
    """driver_hourly (TTL 2 days): 1001 fresh, 1002 with nulls, 1003 too old, no 1004."""
    rows = [
        {
            "driver_id": 1001,
            "event": now - timedelta(hours=1),
            "conv_rate": 0.5,
            "acc_rate": 0.25,
            "avg_daily_trips": 7,
        },
        {"driver_id": 1002, "event": now - timedelta(hours=2), "avg_daily_trips": 9},
        {
            "driver_id": 1003,
            "event": now - timedelta(days=3),
            "conv_rate": 0.125,
            "avg_daily_trips": 3,
        },
    ]
    return loaded_view(cast, factories.DEFINITIONS, rows, at=now)


def body(features: list[str], **entities: list[object]) -> dict[str, object]:
    return {"features": features, "entities": entities}


def test_the_answer_is_feasts_to_the_letter(client, token, drivers, now):
    response = ask(client, token, body(["driver_hourly:conv_rate", *TRIPS], driver_id=[1001]))

    event = (now - timedelta(hours=1)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"
    assert response.json() == {
        "metadata": {
            "feature_names": ["driver_id", "conv_rate", "avg_daily_trips"],
            "value_types": ["int64", "float32", "int32"],
        },
        "results": [
            {
                "values": [1001],
                "statuses": ["PRESENT"],
                "event_timestamps": ["1970-01-01T00:00:00Z"],
            },
            {"values": [0.5], "statuses": ["PRESENT"], "event_timestamps": [event]},
            {"values": [7], "statuses": ["PRESENT"], "event_timestamps": [event]},
        ],
    }


def test_the_four_statuses_are_told_apart(client, token, drivers):
    response = ask(
        client, token, body(["driver_hourly:conv_rate"], driver_id=[1001, 1002, 1003, 1004])
    )

    assert columns(response)["conv_rate"] == (
        [0.5, None, None, None],
        ["PRESENT", "NULL_VALUE", "OUTSIDE_MAX_AGE", "NOT_FOUND"],
    )
    times = response.json()["results"][1]["event_timestamps"]
    assert times[3] == "1970-01-01T00:00:00Z"
    assert times[2] < times[1] < times[0]


@pytest.mark.parametrize(
    ("late", "expected"),
    [
        (-MICROSECOND, ([7], ["PRESENT"])),
        (0 * MICROSECOND, ([7], ["PRESENT"])),
        (MICROSECOND, ([None], ["OUTSIDE_MAX_AGE"])),
    ],
)
def test_the_ttl_ends_one_microsecond_after_it(cast, token, at, late, expected):
    row = {"driver_id": 1, "event": at, "avg_daily_trips": 7}
    loaded_view(cast, factories.DEFINITIONS, [row], at=at)

    answer = get_online_features(
        project="rides",
        token=token,
        request=OnlineRequest(features=TRIPS, entities={"driver_id": [1]}),
        at=at + timedelta(days=2) + late,
        limits=online_limits(),
    )

    assert (list(answer.columns[1].values), answer.columns[1].statuses) == expected


def test_order_and_duplicates_are_kept(client, token, drivers):
    response = ask(client, token, body(TRIPS, driver_id=[1002, 1001, 1004, 1001, 1002]))

    assert columns(response) == {
        "driver_id": ([1002, 1001, 1004, 1001, 1002], ["PRESENT"] * 5),
        "avg_daily_trips": (
            [9, 7, None, 7, 9],
            ["PRESENT", "PRESENT", "NOT_FOUND", "PRESENT", "PRESENT"],
        ),
    }


def test_a_null_key_matches_nothing(client, token, drivers):
    response = ask(client, token, body(TRIPS, driver_id=[None, 1001]))

    assert columns(response) == {
        "driver_id": ([None, 1001], ["NULL_VALUE", "PRESENT"]),
        "avg_daily_trips": ([None, 7], ["NOT_FOUND", "PRESENT"]),
    }


def test_no_rows_give_empty_columns(client, token, drivers):
    assert columns(ask(client, token, body(TRIPS, driver_id=[]))) == {
        "driver_id": ([], []),
        "avg_daily_trips": ([], []),
    }


def test_a_whole_float_is_the_integer_key_and_text_is_not(client, token, drivers):
    assert columns(ask(client, token, body(TRIPS, driver_id=[1001.0])))["driver_id"] == (
        [1001],
        ["PRESENT"],
    )

    for wrong in ("1001", 1001.5, True, 2**63):
        response = ask(client, token, body(TRIPS, driver_id=[1001, wrong]))
        assert (response.status_code, response.json()["code"]) == (422, "bad_key_value")
        assert "driver_id" in response.json()["detail"]


def test_composite_keys_do_not_run_together(client, token, cast, now):
    rows = [
        {"shop": "1", "customer": "23", "event": now, "amount": 1.0},
        {"shop": "12", "customer": "3", "event": now, "amount": 2.0},
    ]
    loaded_view(cast, SPEND, rows, at=now)

    response = ask(
        client, token, body(["spend:amount"], customer=["3", "23", "123"], shop=["12", "1", ""])
    )

    assert columns(response) == {
        "customer": (["3", "23", "123"], ["PRESENT"] * 3),
        "shop": (["12", "1", ""], ["PRESENT"] * 3),
        "amount": ([2.0, 1.0, None], ["PRESENT", "PRESENT", "NOT_FOUND"]),
    }


def test_views_of_several_entities_in_one_call(client, token, cast, drivers, now):
    loaded_view(cast, SPEND, [{"shop": "s", "customer": "c", "event": now, "amount": 1.5}], at=now)
    rows = {"driver_id": [1001, 1004], "shop": ["x", "s"], "customer": ["c", "c"]}

    answer = columns(ask(client, token, body(["spend:amount", *TRIPS], **rows)))

    assert list(answer) == ["driver_id", "shop", "customer", "amount", "avg_daily_trips"]
    assert answer["amount"] == ([None, 1.5], ["NOT_FOUND", "PRESENT"])
    assert answer["avg_daily_trips"] == ([7, None], ["PRESENT", "NOT_FOUND"])


def test_full_names_and_the_version_asked_for(client, token, drivers):
    request = body(
        ["driver_hourly@1.0.0:conv_rate", "driver_hourly@v1:acc_rate", *TRIPS], driver_id=[1001]
    )
    request |= {"full_feature_names": True, "include_feature_view_version_metadata": True}

    metadata = ask(client, token, request).json()["metadata"]

    assert metadata == {
        "feature_names": [
            "driver_id",
            "driver_hourly@1.0.0__conv_rate",
            "driver_hourly@v1__acc_rate",
            "driver_hourly__avg_daily_trips",
        ],
        "value_types": ["int64", "float32", "float32", "int32"],
        "feature_view_metadata": [
            {
                "name": "driver_hourly",
                "version": 1,
                "full_version": "1.0.0",
                "freshness": metadata["feature_view_metadata"][0]["freshness"],
            }
        ],
    }
    assert metadata["feature_view_metadata"][0]["freshness"]["promise"] is None
    assert metadata["feature_view_metadata"][0]["freshness"]["age_seconds"] < 60


def test_an_answer_says_that_it_is_older_than_promised(client, token, cast, now):
    """Said from the plan and the marker that is read anyway: no further question."""
    promising = factories.DEFINITIONS.replace("ttl: 2d", "ttl: 2d\nfreshness: 2h")
    promising = promising.replace("driver_hourly", "promising")
    late = now - timedelta(hours=2, seconds=5)
    rows = [{"driver_id": 1001, "event": late, "avg_daily_trips": 7}]
    request = body(["promising:avg_daily_trips"], driver_id=[1001])
    request["include_feature_view_version_metadata"] = True
    loaded_view(cast, promising, rows, at=late)

    answer = ask(client, token, request)

    (said,) = json.loads(answer["Assay-Warnings"])
    assert said.startswith("promising@1.0.0 is overdue: it covers the time up to ")
    assert said.endswith("promises to be no older than 2h.")
    fresh = answer.json()["metadata"]["feature_view_metadata"][0]["freshness"]
    assert (fresh["promise"], fresh["covered_until"]) == ("2h", timestamp(late))
    assert 7205 <= fresh["age_seconds"] < 7265
    assert columns(answer)["avg_daily_trips"][0] == [7]


def test_an_answer_within_its_promise_warns_of_nothing(client, token, cast, now):
    promising = factories.DEFINITIONS.replace("ttl: 2d", "ttl: 2d\nfreshness: 2h")
    loaded_view(cast, promising, [{"driver_id": 1, "event": now, "avg_daily_trips": 7}], at=now)

    answer = ask(client, token, body(TRIPS, driver_id=[1]))

    assert "Assay-Warnings" not in answer


def test_names_that_collide_are_both_named(client, token, cast, drivers, now):
    loaded_view(
        cast, SPEND, [{"shop": "s", "customer": "c", "event": now, "avg_daily_trips": 1}], at=now
    )
    request = body([*TRIPS, "spend:avg_daily_trips"], driver_id=[1001], shop=["s"], customer=["c"])

    refused = ask(client, token, request).json()
    answer = columns(ask(client, token, request | {"full_feature_names": True}))

    assert refused["code"] == "feature_name_collision"
    assert refused["features"] == ["driver_hourly:avg_daily_trips", "spend:avg_daily_trips"]
    assert answer["driver_hourly__avg_daily_trips"][0] == [7]
    assert answer["spend__avg_daily_trips"][0] == [1]


def test_a_feature_service_names_its_features(client, token, cast, drivers):
    service = """
        kind: FeatureService
        name: churn
        features: ["driver_hourly@1.0.0:acc_rate", "driver_hourly:conv_rate"]
    """
    factories.apply(service, cast)

    answer = columns(
        ask(client, token, {"feature_service": "churn", "entities": {"driver_id": [1001]}})
    )

    assert list(answer) == ["driver_id", "acc_rate", "conv_rate"]


def test_a_service_whose_feature_the_default_lost_is_refused_by_name(
    client, token, cast, drivers, now
):
    factories.apply(
        """
        kind: FeatureService
        name: churn
        features: ["driver_hourly:acc_rate", "driver_hourly:conv_rate"]
        """,
        cast,
    )
    question = {"feature_service": "churn", "entities": {"driver_id": [1001]}}
    assert ask(client, token, question).status_code == 200
    text = "\n".join(line for line in factories.VIEW.splitlines() if "acc_rate" not in line)
    lacking = loaded_view(cast, text, [], at=now)

    with committed():
        releases.promote_version(
            version=lacking, actor=cast.steward, at=now, force=True, comment="agreed"
        )
    refused = ask(client, token, question)

    assert (refused.status_code, refused.json()["code"]) == (409, "feature_service_broken")
    assert "driver_hourly:acc_rate" in refused.json()["detail"]


def test_every_type_is_answered_as_json_has_it(client, token, cast, now):
    full = {
        **{"day": date(2026, 1, 31), "thing_id": 1, "event": now},
        **{"a_bool": True, "a_float": float("nan"), "an_int": 2**60, "a_text": "NaN"},
        **{"some_bytes": b"\x00\xff", "a_decimal": Decimal("1.50"), "a_date": date(1969, 12, 31)},
        "an_instant": datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        **{"a_list": [1, None], "a_vector": [0.5, 2.0], "a_json": '{"a": [1]}'},
    }
    loaded_view(
        cast, EVERYTHING, [full, {"day": date(2026, 1, 31), "thing_id": 2, "event": now}], at=now
    )

    answer = columns(
        ask(client, token, body(["things:*"], day=["2026-01-31"] * 2, thing_id=[1, 2]))
    )

    values = {name: column[0][0] for name, column in answer.items()}
    assert values == {
        **{"day": "2026-01-31", "thing_id": 1},
        **{"a_bool": True, "a_float": "NaN", "an_int": 2**60, "a_text": "NaN"},
        **{"some_bytes": "AP8=", "a_decimal": "1.50", "a_date": "1969-12-31"},
        "an_instant": "1969-12-31T23:59:59.999999Z",
        **{"a_list": [1, None], "a_vector": [0.5, 2.0], "a_json": {"a": [1]}},
    }
    assert {column[1][0] for column in answer.values()} == {"PRESENT"}
    assert {column[1][1] for column in list(answer.values())[2:]} == {"NULL_VALUE"}


def test_a_second_major_version_answers_beside_the_first(client, token, cast, drivers, now):
    changed = factories.VIEW.replace("type: int32", "type: int64")
    second = loaded_view(cast, changed, [], at=now)
    write(second, [{"driver_id": 1001, "event": now, "avg_daily_trips": 2**40}], at=now)

    def trips(reference: str) -> object:
        return columns(ask(client, token, body([reference], driver_id=[1001])))["avg_daily_trips"][
            0
        ]

    assert trips("driver_hourly:avg_daily_trips") == [7]
    assert trips("driver_hourly@1.0.0:avg_daily_trips") == [7]
    assert trips("driver_hourly@v2:avg_daily_trips") == [2**40]


def test_a_warm_read_asks_redis_once_and_the_database_never(
    client, token, drivers, settings, django_assert_num_queries
):
    settings.PLAN_CONFIRM_SECONDS = 600
    request = body(["driver_hourly:*"], driver_id=[1001, 1002, 1003])
    ask(client, token, request)

    before = get_redis().info("stats")["total_commands_processed"]
    with django_assert_num_queries(0):
        ask(client, token, request)

    # Two commands: the read, and the INFO that counts.
    assert get_redis().info("stats")["total_commands_processed"] - before == 2
