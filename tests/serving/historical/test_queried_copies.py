"""What a query gave is kept in datasets and jobs: it takes as much there as it took to ask."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.utils import timezone

from registry.models import AuditEntry
from registry.operations.people import grants
from tests import factories
from tests.serving import datasets_world, jobs_world
from tests.serving.historical.test_entity_queries import (  # noqa: F401 - fixtures
    TIMES,
    asked,
    cards,
    orders,
)
from tests.serving.historical_world import ask
from tests.serving.online_world import committed

pytestmark = pytest.mark.django_db

SQL = f"SELECT driver, {TIMES}, card FROM orders WHERE card <> 'y'"


@pytest.fixture
def grant(cast, cards):  # noqa: F811
    with committed():
        return factories.give_grant(cast, cast.author, level="confidential")


def revoked(cast, grant):
    with committed():
        grants.revoke_grant(grant=grant, by=grants.Hand(cast.steward), at=timezone.now())


@pytest.fixture
def dataset(client, cast, grant):
    caller = datasets_world.Caller(client, cast.author)
    assert caller.post(body={"name": "churn", **asked(sql=SQL)}).status_code == 202
    return datasets_world.make(timezone.now())


def test_a_dataset_of_sensitive_columns_is_for_those_who_may_read_them(client, cast, dataset):
    author, consumer = (datasets_world.Caller(client, who) for who in (cast.author, cast.consumer))

    refused = consumer.get("/churn/1/download")

    assert author.rows()["card"].to_pylist() == ["x", "x", "x"]
    assert (refused.status_code, refused.json()["code"]) == (403, "grant_needed")
    assert "card" in refused.json()["detail"]
    assert consumer.get("/churn/1").json()["content_hash"] is None
    with committed():
        factories.give_grant(cast, cast.consumer, level="confidential")
    assert consumer.get("/churn/1/download").status_code == 200
    assert consumer.get("/churn/1").json()["content_hash"] is not None


def test_the_manifest_says_where_the_frame_came_from(client, cast, dataset):
    author, consumer = (datasets_world.Caller(client, who) for who in (cast.author, cast.consumer))

    theirs = author.get("/churn/1/manifest").json()["manifest"]["request"]["entity_query"]
    others = consumer.get("/churn/1/manifest").json()["manifest"]["request"]["entity_query"]

    assert theirs["source"] == others["source"] == "orders"
    assert theirs["columns"] == others["columns"] == ["card", "driver", "ordered_at"]
    assert "card <> 'y'" in theirs["sql"]
    assert others["sql"] is None  # it may say values


def test_a_grant_that_ended_ends_downloads_and_making(client, cast, grant):
    caller = jobs_world.Caller(client, cast.author)
    job, waiting = (caller.ask(asked(sql=SQL)) for _ in range(2))
    jobs_world.make(job, datetime.now(UTC))
    assert caller.rows(job)["card"].to_pylist() == ["x", "x", "x"]
    datasets = datasets_world.Caller(client, cast.author)
    datasets.post(body={"name": "churn", **asked(sql=SQL)})

    revoked(cast, grant)

    assert caller.get(f"/{job}/download").json()["code"] == "grant_needed"
    assert jobs_world.make(waiting, datetime.now(UTC)).error_code == "grant_needed"
    assert datasets_world.make(timezone.now()).error_code == "grant_needed"


def test_the_trail_says_which_columns_of_which_source_were_read(client, cast, grant):
    token = factories.token_for(cast.author)
    assert ask(client, token, asked(sql=SQL)).status_code == 200
    jobs_world.Caller(client, cast.author).ask(asked(sql=SQL))
    datasets_world.Caller(client, cast.author).post(body={"name": "churn", **asked(sql=SQL)})

    for verb in ("training_set.read", "historical_job.requested", "dataset.requested"):
        said = AuditEntry.objects.get(verb=verb).data["entity_query"]
        assert said == {"source": "orders", "columns": ["card", "driver", "ordered_at"]}
