"""An entity frame by a query on a source: its rows, who may see them, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.utils import timezone

from registry.models import AuditEntry
from registry.operations.people import tokens
from registry.operations.people.token_limits import Limits
from registry.operations.registration.roots import assign_root
from tests import factories
from tests.serving import datasets_world, jobs_world
from tests.serving.historical_world import answer, ask, commit, stored_view
from tests.serving.online_world import committed

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
FEATURES = ["driver_hourly:avg_daily_trips"]
ORDERS = """
kind: DataSource
name: orders
type: file
path: orders.parquet
event_timestamp: ordered_at
"""
SQL = "SELECT driver, ordered_at AS event_timestamp, paid FROM orders WHERE paid > 1"
RENAMED = {"driver_hourly": {"join_keys": {"driver_id": "driver"}}}


@pytest.fixture
def orders(cast, tmp_path, settings):
    """Orders of drivers, of which the second was not paid for."""
    version = stored_view(cast, [{"driver_id": 1, "event": NOON, "avg_daily_trips": 3}], at=NOON)
    commit(version, [{"driver_id": 2, "event": NOON, "avg_daily_trips": 7}], sequence=2)
    folder = tmp_path / "files"
    folder.mkdir(exist_ok=True)
    write(folder / "orders.parquet")
    settings.FILE_ROOTS = [str(tmp_path)]
    with committed():
        assign_root(project=cast.project, path=str(folder), actor=None, at=NOON)
        factories.apply(ORDERS, cast)
    return folder


def write(path):
    times = pa.array([NOON + HOUR] * 3, pa.timestamp("us", "UTC"))
    pq.write_table(
        pa.table({"driver": [1, 2, 2], "ordered_at": times, "paid": [5, 0, 9], "card": ["x"] * 3}),
        path,
    )


def asked(**more):
    query = {"source": "orders", "sql": SQL, **more}
    return {"features": FEATURES, "views": RENAMED, "entity_query": query}


def test_the_rows_of_a_query_are_a_frame(client, cast, orders):
    found = answer(ask(client, factories.token_for(cast.author), asked()))

    assert found["driver"] == [1, 2]
    assert found["paid"] == [5, 9]
    assert found["avg_daily_trips"] == [3, 7]
    entry = AuditEntry.objects.get(verb="training_set.read")
    assert '"source":"orders"' in str(entry.data).replace("'", '"').replace(" ", "")


def test_jobs_and_datasets_take_it_too(client, cast, orders):
    caller = jobs_world.Caller(client, cast.author)
    job = caller.ask(asked())
    (orders / "orders.parquet").unlink()  # the rows are those of the asking

    jobs_world.make(job, datetime.now(UTC))

    assert caller.rows(job)["avg_daily_trips"].to_pylist() == [3, 7]
    write(orders / "orders.parquet")
    datasets = datasets_world.Caller(client, cast.author)
    assert datasets.post(body={"name": "churn", **asked()}).status_code == 202
    datasets_world.make(NOON + HOUR)
    assert datasets.rows()["paid"].to_pylist() == [5, 9]


MAY = {"author", "owner", "superuser"}


@pytest.mark.parametrize(
    "who", [*sorted(MAY), "consumer", "steward", "operator", "auditor", "outsider"]
)
def test_it_takes_the_rights_to_plan_and_to_read_offline(client, cast, orders, who):
    response = ask(client, factories.token_for(getattr(cast, who)), asked())

    expected = 200 if who in MAY else 404 if who == "outsider" else 403
    assert response.status_code == expected
    assert AuditEntry.objects.filter(verb="training_set.read").count() == (who in MAY)


def test_a_token_for_certain_views_reads_no_source(client, cast, orders):
    _, text = tokens.issue_token(
        user=cast.author, actor=cast.author, at=timezone.now(), name="narrow", days=3,
        is_logged_in=True, project=cast.project, limits=Limits(views=["driver_hourly"]),
    )  # fmt: skip

    assert ask(client, text, asked()).json()["code"] == "token_too_narrow"


CARDS = """
kind: FeatureView
name: cards
entities: [buyer]
source: orders
features: [{name: card, type: string, sensitivity: confidential}]
schedule: {every: 1h}
owner: rides
"""
BUYER = "{kind: Entity, name: buyer, join_keys: [{name: driver, type: int64}]}"
TIMES = "ordered_at AS event_timestamp"


@pytest.fixture
def cards(cast, orders):
    """A view that made ``card`` of the orders confidential."""
    with committed():
        version = factories.make_version(cast, text=f"{ORDERS}\n---\n{BUYER}\n---\n{CARDS}")
        factories.approve(version, cast.second_steward)


@pytest.mark.parametrize(
    "sql",
    [
        f"SELECT driver, {TIMES}, card FROM orders",
        f"SELECT driver, {TIMES}, upper(card) AS c FROM orders",
        f"SELECT driver, {TIMES} FROM orders WHERE card = 'x'",
        f"SELECT driver, {TIMES}, CASE WHEN card = 'x' THEN 1 ELSE 0 END AS c FROM orders",
        f"SELECT *, {TIMES} FROM orders",
        f"SELECT o.driver, o.{TIMES}, o.card AS paid FROM orders AS o",
    ],
)
def test_what_is_sensitive_elsewhere_takes_a_grant(client, cast, cards, sql):
    token = factories.token_for(cast.author)

    refused = ask(client, token, asked(sql=sql))

    assert (refused.status_code, refused.json()["code"]) == (403, "grant_needed")
    assert ask(client, token, asked()).status_code == 200
    with committed():
        factories.give_grant(cast, cast.author, level="confidential")
    assert ask(client, token, asked(sql=sql)).status_code == 200


@pytest.mark.parametrize(
    ("more", "status", "code", "said"),
    [
        ({"sql": "SELECT count(*) FROM orders"}, 422, "invalid_sql", "COUNT"),
        ({"sql": f"SELECT driver, {TIMES} FROM other"}, 422, "invalid_sql", "orders"),
        ({"sql": "SELECT 1; DROP TABLE orders"}, 422, "invalid_sql", ""),
        ({"sql": "SELECT * FROM read_csv('/etc/passwd')"}, 422, "invalid_sql", ""),
        ({"sql": "COPY orders TO '/tmp/x'"}, 422, "invalid_sql", ""),
        ({"sql": ""}, 422, "invalid_sql", ""),
        ({"sql": f"SELECT driver, {TIMES}, payd FROM orders"}, 422, "unknown_column", "paid"),
        ({"sql": "SELECT driver, ordered_at FROM orders"}, 422, "missing_entity_column", ""),
        ({"sql": f"SELECT driver AS d, {TIMES} FROM orders"}, 422, "missing_entity_column", ""),
        ({"source": "ordres"}, 404, "data_source_not_found", "Did you mean 'orders'?"),
        ({"source": "a\x00b"}, 404, "data_source_not_found", ""),
        ({"source": "x" * 5000}, 404, "data_source_not_found", ""),
        ({"limit": 3}, 422, "invalid_request", "limit"),
    ],
)
def test_what_is_no_frame_is_said(client, cast, orders, more, status, code, said):
    response = ask(client, factories.token_for(cast.author), asked(**more))

    assert (response.status_code, response.json()["code"]) == (status, code), response.content
    assert str(orders) not in response.json()["detail"]
    assert said in response.json()["detail"]


def test_more_rows_than_one_answer_may_have_are_refused(client, cast, orders, settings):
    settings.HISTORICAL_MAX_ROWS = 1

    refused = ask(client, factories.token_for(cast.author), asked())

    assert (refused.status_code, refused.json()["code"]) == (413, "too_many_rows")


def test_more_than_a_frame_may_decode_to_is_refused(client, cast, orders, settings):
    settings.HISTORICAL_MAX_DECODED_BYTES = 100

    refused = ask(client, factories.token_for(cast.author), asked())

    assert refused.status_code == 413, refused.content
    assert "100 bytes" in refused.json()["detail"]


def test_a_source_that_is_not_there_is_said(client, cast, orders):
    (orders / "orders.parquet").unlink()

    refused = ask(client, factories.token_for(cast.author), asked())

    assert refused.status_code == 422
    assert "orders.parquet" in refused.json()["detail"]
    assert str(orders) not in refused.json()["detail"]


def test_one_way_of_saying_whom_it_is_about_is_enough(client, cast, orders):
    twice = {**asked(), "entities": {"driver": [1], "event_timestamp": ["2026-03-01T13:00:00Z"]}}

    assert ask(client, factories.token_for(cast.author), twice).json()["code"] == "invalid_request"
