"""Whatever is changed in whichever order: a kept plan answers as one made anew would.

And what happens to a view that a question does not read leaves the question its plan.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from lib.connections import get_redis
from lib.errors import AssayError
from registry import epoch
from registry.choices import Role
from registry.models import FeatureViewVersion
from registry.operations.lifecycle import releases
from registry.operations.people import members
from serving.edges import online_limits
from serving.online.plan_cache import PLANS
from serving.online.read import get_online_features
from serving.online.request import OnlineRequest
from tests import factories
from tests.serving.online.test_plan_cache import plans_made
from tests.serving.online_world import committed, loaded_view

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

pytestmark = pytest.mark.django_db

VIEWS = ("driver_hourly", "driver_daily")
SERVICE = """
kind: FeatureService
name: both
features: [driver_hourly:conv_rate, driver_daily:avg_daily_trips]
"""
#: Of one view, of the other, of both, of whatever features the default has, by name and by service.
QUESTIONS: list[dict[str, Any]] = [
    {"features": ["driver_hourly:avg_daily_trips"]},
    {"features": ["driver_daily@1.0.0:avg_daily_trips"]},
    {"features": ["driver_daily@v1:conv_rate", "driver_hourly:acc_rate"]},
    {"features": ["driver_hourly:*"]},
    {"feature_service": "both"},
]


@pytest.fixture
def versions(cast, now) -> list[FeatureViewVersion]:
    """Two versions of each of two views, the second with a feature more."""
    found = []
    more = "  - {name: avg_daily_trips, type: int32, sensitivity: internal}\n"
    for name in VIEWS:
        text = factories.DEFINITIONS.replace("driver_hourly", name)
        for number in range(2):
            row = {"driver_id": 1001, "event": now, "avg_daily_trips": number, "conv_rate": 0.5}
            found.append(loaded_view(cast, text, [row], at=now))
            text = text.replace(more, f"{more}  - {{name: more_{number}, type: int64}}\n")
    with committed():
        factories.apply(SERVICE, cast)
    return found


def said(token: str, question: dict[str, Any], now: datetime) -> tuple[Any, ...]:
    """Return the answer, or how it was refused."""
    request = OnlineRequest({"driver_id": [1001]}, **question, full_feature_names=True)
    try:
        found = get_online_features(
            project="rides", token=token, request=request, at=now, limits=online_limits()
        )
    except AssayError as exc:
        return type(exc).__name__, exc.message
    values = [list(column.values) for column in found.columns]
    return "answered", found.names, found.types, values, found.warnings


#: How often each of ``acts`` is tried: what cannot be undone, rarely.
WEIGHTS = (8, 3, 3, 1, 1, 3)


def acts(cast: factories.Cast, now: datetime) -> list[Callable[[FeatureViewVersion], object]]:
    who: dict[str, Any] = {
        "project": cast.project,
        "user": cast.consumer,
        "actor": cast.owner,
        "at": now,
    }
    deciding: dict[str, Any] = {"actor": cast.steward, "at": now}
    return [
        lambda version: releases.promote_version(
            version=version, force=True, comment="x", **deciding
        ),
        lambda version: releases.deprecate_version(version=version, **deciding),
        lambda version: releases.restore_version(version=version, **deciding),
        lambda version: releases.retire_version(
            version=version, force=True, comment="x", **deciding
        ),
        lambda _: members.revoke_role(role=Role.CONSUMER, **who),
        lambda _: members.grant_role(role=Role.CONSUMER, **who),
    ]


@pytest.mark.parametrize("told", ["by Redis", "by the registry alone"])
@pytest.mark.parametrize("seed", range(2))
def test_a_kept_plan_answers_as_one_made_anew(cast, token, versions, settings, now, told, seed):
    settings.PLAN_CONFIRM_SECONDS = 600 if told == "by Redis" else 0
    chance, done, seen = random.Random(seed), 0, set()
    for _ in range(20):
        for question in QUESTIONS:
            said(token, question, now)
        before = epoch.current(cast.project.pk, VIEWS)
        (act,) = chance.choices(acts(cast, now), WEIGHTS)
        version = chance.choice(versions)
        try:
            with committed():
                act(FeatureViewVersion.objects.get(pk=version.pk))
            done += 1
        except AssayError:
            continue
        if told != "by Redis":
            keys = epoch.epoch_keys(cast.project.pk, VIEWS)
            get_redis().mset(dict(zip(keys, before, strict=True)))

        kept = [said(token, question, now) for question in QUESTIONS]
        PLANS.clear()
        anew = [said(token, question, now) for question in QUESTIONS]

        assert kept == anew
        seen |= {repr(each) for each in anew}

    assert done >= 5
    assert len(seen) >= 6


def test_what_happens_to_another_view_leaves_the_plan(
    client, cast, token, versions, settings, now, django_assert_num_queries
):
    said(token, QUESTIONS[0], now)
    before = plans_made()
    other = {"version": versions[-1], "actor": cast.steward, "at": now}

    for act in (releases.deprecate_version, releases.restore_version, releases.promote_version):
        with committed():
            act(**other)
        settings.PLAN_CONFIRM_SECONDS = 600
        with django_assert_num_queries(0):
            assert said(token, QUESTIONS[0], now)[0] == "answered"
        settings.PLAN_CONFIRM_SECONDS = 0
        assert said(token, QUESTIONS[0], now)[0] == "answered"

    assert plans_made() == before
    assert said(token, QUESTIONS[2], now)[0] == "answered"


def test_names_that_no_view_has_leave_nothing_in_redis(cast, token, versions, now):
    before = set(get_redis().scan_iter())

    kind, _ = said(token, {"features": ["driver_hourly:acc_rate", "nobody:x"]}, now)

    assert kind == "ReferenceNotFound"
    new = set(get_redis().scan_iter()) - before
    assert new <= set(epoch.epoch_keys(cast.project.pk, VIEWS))


def test_a_view_more_costs_a_plan_two_queries_more(token, versions, settings, now):
    def queries(*features: str) -> int:
        PLANS.clear()
        with CaptureQueriesContext(connection) as captured:
            assert said(token, {"features": list(features)}, now)[0] == "answered"
        return len(captured)

    one, two = (
        queries("driver_hourly:acc_rate"),
        queries("driver_hourly:*", "driver_daily:acc_rate"),
    )

    # Among them which of the views are computed at the request: those hold their inputs' facts too;
    # and the pseudonym under which a reader's reads are noted.
    assert one == 10
    # The view, and what its features were approved as; what `view:*` stands for is asked first.
    assert two == one + 3
