"""However a run ends, one function ends it, and the same follows from it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from materialization.choices import RunStatus
from materialization.models import MaterializationRun
from materialization.requests.cancelling import cancel_run
from materialization.requests.sweep import sweep
from materialization.runner import ending
from materialization.runner.ending import Ending, end_run
from materialization.runner.run import claim
from registry.models import AuditEntry
from tests.materialization.run_world import AT, ask, perform

pytestmark = pytest.mark.django_db


def by_its_worker(run, cast):
    perform(run)


def by_its_workers_death(run, cast):
    claim(run.pk, worker="w", at=AT)
    MaterializationRun.objects.filter(pk=run.pk).update(attempt=ending.MAX_ATTEMPTS)
    sweep(at=AT + timedelta(days=1))


def by_somebody_while_it_waits(run, cast):
    cancel_run(run=run, actor=cast.operator, at=AT)


@pytest.mark.parametrize(
    ("end", "status", "actor"),
    [
        (by_its_worker, "succeeded", "author"),
        (by_its_workers_death, "errored", None),
        (by_somebody_while_it_waits, "cancelled", "operator"),
    ],
)
def test_each_way_to_end_leaves_status_instant_and_trail(version, cast, end, status, actor):
    run = ask(version, actor=cast.author)

    end(run, cast)

    run.refresh_from_db()
    assert (run.status, run.lease_expires_at) == (status, None)
    assert run.finished_at is not None
    entry = AuditEntry.objects.get(verb=f"materialization_run.{status}", subject_id=run.pk)
    assert entry.actor_id == (getattr(cast, actor).pk if actor else None)


def test_what_follows_is_undone_with_the_end(version, cast, monkeypatch):
    run = ask(version, actor=cast.author)

    def refuse(run, actor, at):
        raise RuntimeError("no")

    monkeypatch.setattr(ending, "FOLLOWS", (*ending.FOLLOWS, refuse))
    waiting = MaterializationRun.objects.filter(status=RunStatus.QUEUED)
    with pytest.raises(RuntimeError, match="no"):
        end_run(run, Ending(RunStatus.CANCELLED), among=waiting, actor=cast.author, at=AT)

    run.refresh_from_db()
    assert run.status == RunStatus.QUEUED
    assert not AuditEntry.objects.filter(verb="materialization_run.cancelled").exists()


def test_of_two_who_end_it_one_does(version, cast):
    run = ask(version, actor=cast.author)
    waiting = MaterializationRun.objects.filter(status=RunStatus.QUEUED)

    ended = [
        end_run(run, Ending(RunStatus.CANCELLED), among=waiting, actor=cast.author, at=AT)
        for _ in range(2)
    ]

    assert ended == [True, False]
    assert AuditEntry.objects.filter(verb="materialization_run.cancelled").count() == 1
