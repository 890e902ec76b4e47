"""A small request cannot ask for much: counts are bounded, each by a setting, in both reads."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests import factories
from tests.serving import historical_world, online_world
from tests.serving.online_world import committed

pytestmark = pytest.mark.django_db

ALL = "driver_hourly:*"
ONE = "driver_hourly:conv_rate"


@pytest.fixture
def read(client, cast, token, now):
    """Give a function that asks one of the reads and returns (status, code, setting)."""
    rows = [{"driver_id": 1, "event": now - timedelta(hours=1), "conv_rate": 0.5}]
    version = online_world.loaded_view(cast, factories.DEFINITIONS, rows, at=now)
    historical_world.commit(version, rows)
    with committed():
        factories.apply(
            f"{{kind: FeatureService, name: wide, features: ['{ALL}']}}", cast, actor=cast.author
        )

    def ask(kind: str, *, rows: int = 1, **body):
        entities = {"driver_id": [1] * rows, **body.pop("more", {})}
        if kind == "HISTORICAL":
            entities["event_timestamp"] = [now.isoformat()] * rows
        world = online_world if kind == "ONLINE" else historical_world
        answer = world.ask(client, token, {"entities": entities, **body})
        problem = answer.json()
        return answer.status_code, problem.get("code"), problem.get("setting")

    return ask


KINDS = pytest.mark.parametrize("kind", ["ONLINE", "HISTORICAL"])


@KINDS
@pytest.mark.parametrize(
    "body",
    [
        {"features": [ALL]},
        {"feature_service": "wide"},
        {"features": [f"driver_hourly:{name}" for name in "abc"]},
    ],
)
def test_features_are_counted_written_out(read, settings, kind, body):
    setattr(settings, f"{kind}_MAX_FEATURES", 2)

    assert read(kind, **body) == (413, "too_many_features", f"{kind}_MAX_FEATURES")
    assert read(kind, features=["driver_hourly:conv_rate", "driver_hourly:acc_rate"])[0] == 200


@KINDS
def test_a_reference_sent_thousands_of_times_is_not_written_out_at_all(
    read, settings, kind, django_assert_max_num_queries
):
    with django_assert_max_num_queries(12):
        assert read(kind, features=[ALL] * 20_000)[:2] == (413, "too_many_features")
        assert read(kind, features=[ALL] * 2_000)[:2] == (422, "feature_name_collision")


@KINDS
def test_rows_times_columns_are_bounded(read, settings, kind):
    setattr(settings, f"{kind}_MAX_VALUES", 5 if kind == "ONLINE" else 9)

    assert read(kind, rows=3, features=[ONE])[0] == 200
    assert read(kind, rows=6, features=[ONE]) == (413, "too_many_values", f"{kind}_MAX_VALUES")


@KINDS
def test_entity_columns_are_bounded(read, settings, kind):
    setattr(settings, f"{kind}_MAX_COLUMNS", 3)
    more = {f"c{n}": [1] for n in range(9)}

    answer = read(kind, features=[ONE], more=more)

    assert answer == (413, "too_many_columns", f"{kind}_MAX_COLUMNS")
