"""How many plans a process keeps: by what they weigh, the least recently asked leave first."""

from __future__ import annotations

from typing import Any

from serving.edges import online_limits
from serving.online.plan_cache import KeptPlan, PlanCache
from serving.online.plans import Question, ReadPlan
from tests.factories import AT


def question(token: str) -> Question:
    return Question("rides", token, (), None, full_feature_names=False, limits=online_limits())


def plan(features: int) -> KeptPlan:
    column: Any = None
    read = ReadPlan(1, "p", AT, (), (), (), (column,) * features, (), (), (), (), online_limits())
    return KeptPlan(read, b"epoch", "epoch", "server")


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
