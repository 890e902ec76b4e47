"""A dataset whose frame a query gave leads to the columns of that source, and they to it."""

from __future__ import annotations

import pytest
import sqlglot
from django.urls import reverse
from django.utils import timezone

from registry.lineage import graph_of
from registry.spec.sql_lineage import _traced
from serving.models import Dataset
from tests import factories
from tests.registry.operations.test_remembered import agreed
from tests.serving.datasets.test_lineage import steps
from tests.serving.datasets_world import Caller, make
from tests.serving.historical.test_entity_queries import (  # noqa: F401 - fixtures
    ORDERS,
    SQL,
    asked,
    orders,
)
from tests.serving.online_world import committed

pytestmark = pytest.mark.django_db

ALL = "SELECT *, ordered_at AS event_timestamp FROM orders"
SPEND = """
kind: FeatureView
name: spend
entities: [driver]
source: orders
sql: SELECT driver AS driver_id, ordered_at, paid, card FROM orders
features: [{{name: paid, type: int64, sensitivity: {paid}}}, {{name: card, type: string}}]
"""


def have(client, cast, sql=SQL, name="churn"):
    answer = Caller(client, cast.author).post(body={"name": name, **asked(sql=sql)})
    assert answer.status_code == 202, answer.content
    return make(timezone.now())


@pytest.fixture
def dataset(client, cast, orders):  # noqa: F811
    return have(client, cast)


def test_it_leads_to_the_source_of_its_frame(client, cast, dataset):
    found = steps(client, cast, "dataset/churn@1", direction="upstream")

    assert {name for far, kind, name in found if (far, kind) == (-1, "column")} == {
        "orders.driver", "orders.ordered_at", "orders.paid",
    }  # fmt: skip
    assert (-2, "data-source", "orders") in found
    assert (-3, "data-source", "driver_stats") in found


@pytest.mark.parametrize("path", ["data-source/orders", "column/orders.driver"])
def test_and_that_leads_to_it(client, cast, dataset, path):
    found = steps(client, cast, path, direction="downstream")

    assert "churn@1" in {name for _, kind, name in found if kind == "dataset"}


def test_one_of_all_columns_is_told_so(client, cast, dataset):
    have(client, cast, ALL, "whole")

    assert (-1, "column", "orders.*") in steps(client, cast, "dataset/whole@1")


@pytest.mark.parametrize("column", ["orders.driver", "orders.card"])
def test_each_column_leads_to_one_of_all_columns(client, cast, dataset, column):
    have(client, cast, ALL, "whole")

    found = steps(client, cast, f"column/{column}", direction="downstream")
    assert (1, "dataset", "whole@1") in found
    upstream = steps(client, cast, f"column/{column}", direction="upstream")
    assert (-1, "data-source", "orders") in upstream


def test_a_column_of_a_source_without_such_is_still_not_there(client, cast, dataset):
    have(client, cast, ALL, "whole")
    headers = {"Authorization": f"Bearer {factories.token_for(cast.consumer)}"}
    path = "/api/v1/projects/rides/lineage/column/"

    for name in ("driver_stats.nothing", "orders.", "nothing"):
        assert client.get(f"{path}{name}", headers=headers).status_code == 404, name


def test_how_each_column_is_used_is_told(client, cast, dataset):
    have(client, cast, SQL.replace(", paid FROM", " FROM"))
    headers = {"Authorization": f"Bearer {factories.token_for(cast.consumer)}"}
    answer = client.get("/api/v1/projects/rides/lineage/dataset/churn@2", headers=headers).json()

    used = {each["name"]: each["via"][0]["as"] for each in answer["results"] if each["via"]}
    assert (used["orders.driver"], used["orders.paid"]) == ("reads", "filter")


def test_of_a_name_the_newest_is_told_and_any_that_is_asked_about(client, cast, dataset):
    have(client, cast, SQL.replace(", paid FROM", " FROM"))

    found = steps(client, cast, "data-source/orders", direction="downstream")
    assert {name for _, kind, name in found if kind == "dataset"} == {"churn@2"}
    assert (-1, "column", "orders.paid") in steps(client, cast, "dataset/churn@1")


def test_its_page_and_that_of_the_source_draw_it(client, cast, dataset):
    client.force_login(cast.author)
    page = reverse("admin:serving_dataset_change", args=[dataset.pk])
    source = cast.project.datasource_set.get(name="orders")

    assert ">orders<" in client.get(page).content.decode()
    address = reverse("admin:registry_datasource_change", args=[source.pk])
    assert "churn@1" in client.get(address).content.decode()


@pytest.mark.parametrize("of", ["", "*"])
def test_the_packet_of_a_change_of_the_source_names_it(client, cast, orders, of):  # noqa: F811
    have(client, cast, ALL if of else SQL)
    with committed():
        first = factories.make_version(cast, text=SPEND.format(paid="internal"))
        factories.apply(ORDERS.replace("orders.parquet", "others.parquet"), cast)
        second = factories.make_version(cast, text=SPEND.format(paid="public"))

    columns = "*" if of else "driver, ordered_at, paid"
    assert first.packet["kept_in"] == []
    assert second.packet["kept_in"] == [f"dataset churn@1: rows of orders ({columns})"]


def test_the_packet_of_what_makes_a_column_sensitive_names_it(client, cast, dataset):
    have(client, cast)
    have(client, cast, "SELECT driver, ordered_at AS event_timestamp FROM orders", "other")
    with committed():
        factories.make_version(cast, text=SPEND.format(paid="internal"))
        second = factories.make_version(cast, text=SPEND.format(paid="confidential"))

    assert second.packet["kept_in"] == ["dataset churn@2 (and 1 older): rows of orders (paid)"]


CONTACT = """
kind: FeatureView
name: spend
entities: [driver]
source: orders
sql: SELECT driver AS driver_id, ordered_at, {of} FROM orders
features: [{{name: contact, type: string, sensitivity: {level}}}]
"""


@pytest.mark.parametrize(
    ("levels", "kept"),
    [
        (("confidential", "confidential"), True),
        (("restricted", "confidential"), True),
        (("internal", "confidential"), True),
        (("confidential", "internal"), False),
    ],
)
def test_the_packet_names_it_where_a_sensitive_feature_keeps_its_name(
    client, cast, dataset, levels, kept
):
    first, second = levels
    with committed():
        agreed(cast, CONTACT.format(of="card AS contact", level=first))
        of = "CAST(paid AS VARCHAR) AS contact"
        other = agreed(cast, CONTACT.format(of=of, level=second))
        same = agreed(cast, CONTACT.format(of=of + ", paid", level=second))

    assert other.packet["kept_in"] == (["dataset churn@1: rows of orders (paid)"] if kept else [])
    assert same.packet["kept_in"] == []


def test_no_query_is_parsed_when_a_lineage_is_looked_at(client, cast, dataset, monkeypatch):
    have(client, cast, SQL.replace("paid > 1", "paid > 3"), "other")
    with monkeypatch.context() as patched:
        read, parse = [], sqlglot.parse
        patched.setattr(sqlglot, "parse", lambda sql, **how: read.append(sql) or parse(sql, **how))
        _traced.cache_clear()
        graph_of(cast.project)

    assert [sql for sql in read if "paid >" in sql] == []


def test_one_that_was_ended_is_named_no_more(client, cast, dataset):
    with committed():
        Caller(client, cast.author).post("/churn/1/end", body={"reason": "Replaced"})

    assert Dataset.objects.get().status == "ended"
    found = steps(client, cast, "data-source/orders", direction="downstream")
    assert "dataset" not in {kind for _, kind, _ in found}
