"""Runs asked for, ended and cancelled at the same moment: nobody waits for ever, one wins."""

from __future__ import annotations

import pytest
from django.db import connection

from materialization.choices import RunStatus
from materialization.models import MaterializationRun
from materialization.requests.cancelling import cancel_run
from materialization.requests.runs import request_run, request_runs
from materialization.runner.ending import Ending, end_run
from materialization.runner.run import claim
from registry import audit
from registry.models import FeatureViewVersion
from tests.factories import AT, DEFINITIONS, VIEW, make_version
from tests.registry.operations.test_concurrency import conflicts, together

pytestmark = pytest.mark.skipif(
    connection.vendor == "sqlite", reason="SQLite runs one writing transaction at a time"
)


def test_several_views_are_asked_for_in_opposite_orders(committed_cast):
    cast = committed_cast
    made = [
        make_version(cast, text=text.replace("driver_hourly", f"view_{n}"))
        for n, text in enumerate((DEFINITIONS, VIEW, VIEW, VIEW))
    ]
    related = FeatureViewVersion.objects.select_related("feature_view__project", "table")

    def ask(order):
        versions = [related.get(pk=version.pk) for version in order]
        return request_runs(versions=versions, window_end=AT, at=AT, actor=cast.operator)

    for _ in range(5):
        results = together(*(lambda order=o: ask(order) for o in (made, made[::-1]) * 2))

        assert conflicts(results) <= 3
        assert MaterializationRun.objects.count() == 4
        MaterializationRun.objects.all().delete()
    assert audit.verify() is None


@pytest.mark.parametrize("_again", range(5))
def test_a_run_that_ends_while_it_is_cancelled_has_one_end(committed_cast, _again):
    cast = committed_cast
    run = request_run(version=make_version(cast), window_end=AT, at=AT, actor=cast.operator)
    claimed = claim(run.pk, worker="w", at=AT)
    failed = Ending(RunStatus.FAILED, "no")

    together(
        lambda: cancel_run(run=run, actor=cast.operator, at=AT),
        lambda: end_run(claimed, failed, among=claimed.owned(), actor=None, at=AT),
    )

    run.refresh_from_db()
    assert run.status == RunStatus.FAILED
    assert audit.verify() is None
