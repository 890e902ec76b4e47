"""How many plans a process keeps: by what they weigh, the least recently asked leave first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connection

from registry import epoch
from registry.deprecation import Deprecation
from serving.edges import online_limits
from serving.online import watching
from serving.online.plan_cache import KeptPlan, PlanCache
from serving.online.plans import Question, ReadPlan
from serving.online.read import get_online_features
from serving.online.request import OnlineRequest
from serving.usage.noting import Reading
from tests import factories
from tests.factories import AT
from tests.serving.online_world import loaded_view


def question(token: str) -> Question:
    return Question("rides", token, (), None, full_feature_names=False, limits=online_limits())


def plan(features: int) -> KeptPlan:
    column: Any = None
    read = ReadPlan(
        1,
        "p",
        1,
        (),
        (),
        AT,
        AT,
        (),
        (),
        (),
        (column,) * features,
        (),
        (),
        (),
        (),
        (),
        (),
        online_limits(),
        Deprecation(),
        Reading("p", "person", "", ()),
        {},
        (),
        (),
    )
    return KeptPlan(read, (b"epoch",), ("epoch",), "server")


def test_plans_leave_by_what_they_weigh():
    cache = PlanCache(capacity=100)
    for name in "abc":
        cache._keep(question(name), plan(30))
    assert len(cache) == 3

    cache._keep(question("d"), plan(60))
    assert list(cache._plans) == [question("c"), question("d")]

    cache._keep(question("d"), plan(5))
    cache._keep(question("e"), plan(60))
    assert list(cache._plans) == [question("c"), question("d"), question("e")]


def test_a_plan_beyond_all_bounds_is_not_kept():
    cache = PlanCache(capacity=100)
    cache._keep(question("a"), plan(500))

    assert len(cache) == 0
    cache._keep(question("b"), plan(5))
    assert len(cache) == 1


@pytest.mark.django_db(transaction=True)
def test_of_many_who_ask_the_same_at_once_one_makes_the_plan(committed_cast, now):
    """After a change all see that the plan they know is outdated."""
    rows = [{"driver_id": 1001, "event": now, "avg_daily_trips": 7}]
    loaded_view(committed_cast, factories.DEFINITIONS, rows, at=now)
    token = factories.token_for(committed_cast.consumer)
    asked = OnlineRequest({"driver_id": [1001]}, ["driver_hourly:avg_daily_trips"])
    together = Barrier(8)

    def answer(_: int) -> list[Any]:
        together.wait()
        limits = online_limits()
        found = get_online_features(
            project="rides", token=token, request=asked, at=now, limits=limits
        )
        connection.close()
        return [list(column.values) for column in found.columns]

    with ThreadPoolExecutor(8) as people:
        for _ in range(3):
            with epoch.change(committed_cast.project.pk):
                pass
            before = plans_made()
            assert list(people.map(answer, range(8))) == [[[1001], [7]]] * 8
            assert plans_made() - before == 1


def plans_made() -> float:
    return watching.PLANS.labels("rides")._value.get()
