"""Runs that are paused: where they stop, what may happen meanwhile, and that they go on there."""

from __future__ import annotations

import shutil
import time
from datetime import timedelta

import msgspec
import pytest

from materialization.api.serializers import run_output
from materialization.chunks import read_chunks, written_chunks
from materialization.disclosure import Disclosure
from materialization.edges.stores import offline_store, online_store
from materialization.models import MaterializationRun, MaterializationSchedule
from materialization.outlook import outlook
from materialization.queries import coverage, table_at
from materialization.requests.cancelling import RunPublishing, cancel_run
from materialization.requests.losses import TableBusy, accept_loss
from materialization.requests.pausing import pause_run, resume_run
from materialization.requests.runs import RunInProgress
from materialization.requests.sweep import sweep
from materialization.runner import run as runner
from materialization.runner.heartbeat import Heartbeat, RunPaused
from tests.factories import make_version, verbs_of
from tests.materialization.run_world import (
    AT,
    HOUR,
    ask,
    committed,
    fresh,
    marker,
    materialize,
    nothing_recorded,
    offline,
    online,
    perform,
    table_of,
    write_rows,
)
from tests.materialization.runner.test_chunks import ALL, HISTORY, equals_the_source, stored

pytestmark = pytest.mark.django_db


@pytest.fixture
def history(cast, sources, settings):
    settings.RUN_CHUNK_ROWS = 3
    write_rows(sources, HISTORY)
    with committed():
        return make_version(cast)


def pausing_after(run, chunks: int, actor):
    """A clock by which somebody asks for a pause as soon as so many chunks are stored."""

    def clock():
        now = MaterializationRun.objects.get(pk=run.pk)
        done = sum(each.stored_at is not None for each in read_chunks(now.chunks))
        if done == chunks and now.status == "running" and not now.pause_requested:
            pause_run(run=now, actor=actor, at=AT)
        return AT

    return clock


def test_a_running_run_stops_after_a_chunk_and_goes_on_there(cast, history):
    with committed():
        run = ask(history)
        runner.run(run_id=run.pk, worker="a", clock=pausing_after(run, 2, cast.operator))

    run.refresh_from_db()
    assert (run.status, run.lease_expires_at, run.rows_offline) == ("paused", None, 6)
    assert len(stored(history)) == 6
    with committed():
        sweep(at=AT + timedelta(days=1))
    assert MaterializationRun.objects.get().status == "paused"
    assert perform(run).status == "paused"

    with committed():
        resume_run(run=run, actor=cast.operator, at=AT)
        perform(run)

    assert (run.status, run.rows_offline) == ("succeeded", 16)
    equals_the_source(history)
    trail = ["requested", "pause_requested", "paused", "resumed", "succeeded"]
    assert verbs_of(run) == trail


def test_how_long_it_worked_and_how_long_it_lay_are_told_apart(cast, history, as_):
    with committed():
        run = ask(history)
        runner.run(run_id=run.pk, worker="a", clock=pausing_after(run, 2, cast.operator))
        resume_run(run=fresh_run(run), actor=cast.operator, at=AT + 3 * HOUR)
        perform(run, at=AT + 4 * HOUR)

    assert run.worked(at=run.finished_at) == HOUR
    said = run_output(run, Disclosure(cast.operator, at=AT), at=AT + timedelta(days=1))
    assert (said["worked_seconds"], said["paused_seconds"]) == (3600, 3 * 3600)
    page = as_("operator").get(f"/admin/materialization/materializationrun/{run.pk}/change/")
    assert "took 1 hour, paused for 3 hours" in page.text.replace("\xa0", " ")


def test_a_run_that_is_cancelled_while_paused_worked_until_the_pause(cast, history):
    with committed():
        run = ask(history)
        runner.run(run_id=run.pk, worker="a", clock=pausing_after(run, 2, cast.operator))
        cancel_run(run=fresh_run(run), actor=cast.operator, at=AT + 3 * HOUR)

    run.refresh_from_db()
    assert run.worked(at=run.finished_at) == timedelta()
    assert run.lay_paused(at=run.finished_at) == 3 * HOUR


def fresh_run(run):
    return MaterializationRun.objects.get(pk=run.pk)


def test_nothing_else_is_stored_while_a_run_is_paused(cast, history):
    with committed():
        run = ask(history)
        pause_run(run=run, actor=cast.operator, at=AT)

    with pytest.raises(RunInProgress, match="is paused; let it go on, or cancel it"):
        ask(history)

    cancel_run(run=run, actor=cast.operator, at=AT)
    with committed():
        assert materialize(history).status == "succeeded"


def test_readers_get_their_rows_back_while_a_run_is_paused(cast, history, settings):
    with committed():
        materialize(history)
        late = ask(history, end=AT + HOUR, at=AT + HOUR)
        pause_run(run=late, actor=cast.operator, at=AT)

    online_store().drop(table_of(history).uid)

    with committed():
        sweep(at=AT + HOUR)
    reload = MaterializationRun.objects.get(kind="reload")
    with pytest.raises(RunInProgress, match="is being loaded just now"):
        resume_run(run=late, actor=cast.operator, at=AT)
    with committed():
        assert perform(reload, at=AT + HOUR).status == "succeeded"

    assert marker(history) is not None
    with committed():
        resume_run(run=late, actor=cast.operator, at=AT + HOUR)
        assert perform(late, at=AT + HOUR).status == "succeeded"

    later = AT + HOUR
    assert online(history, ALL, at=later) == offline(history, ALL, at=later)
    with committed():
        sweep(at=later)
    assert not MaterializationRun.objects.filter(kind="reload", status="queued").exists()


@pytest.fixture
def loaded(cast, history):
    """A run that stored a chunk of new time, was paused, and had that loaded by a reload."""
    with committed():
        materialize(history, end=AT - 60 * HOUR, at=AT - 60 * HOUR)
        run = ask(history)
        runner.run(run_id=run.pk, worker="a", clock=pausing_after(run, 1, cast.operator))
    reloaded(history)
    MaterializationSchedule.objects.update(enabled=False)  # or its next run would load all
    run.refresh_from_db()
    assert (run.status, run.kind, run.rows_offline) == ("paused", "incremental", 3)
    return run


def reloaded(version):
    """Let the sweep ask for the one reload that it should, and perform it."""
    with committed():
        sweep(at=AT)
        (reload,) = MaterializationRun.objects.filter(kind="reload", status="queued")
        assert perform(reload).status == "succeeded"
    assert online(version, ALL, at=AT) == offline(version, ALL, at=AT)


def test_what_is_stored_after_a_reload_of_a_paused_run_is_loaded_too(cast, history, loaded):
    with committed():
        resume_run(run=loaded, actor=cast.operator, at=AT)
        runner.run(run_id=loaded.pk, worker="b", clock=pausing_after(loaded, 2, cast.operator))
        cancel_run(run=loaded, actor=cast.operator, at=AT)
    assert len(stored(history)) > 3
    assert online(history, ALL, at=AT) != offline(history, ALL, at=AT)

    reloaded(history)

    with committed():
        assert materialize(history).status == "succeeded"
    equals_the_source(history)


def test_what_an_adopted_run_stored_after_a_reload_is_loaded_too(cast, history, loaded):
    """Its worker died before it could say what it had stored, and it ended so."""
    with committed(), nothing_recorded():
        resume_run(run=loaded, actor=cast.operator, at=AT)
        runner.run(run_id=loaded.pk, worker="b", clock=pausing_after(loaded, 2, cast.operator))
    MaterializationRun.objects.filter(pk=loaded.pk).update(
        status="errored", publishing=True, finished_at=AT, rows_offline=3
    )

    with committed():
        assert materialize(history).status == "succeeded"

    loaded.refresh_from_db()
    assert (loaded.rows_offline, len(stored_chunks(loaded))) == (6, 2)
    equals_the_source(history)


def test_a_run_that_recorded_a_chunk_after_a_reload_is_adopted_with_the_next(cast, history):
    """What it recorded is known under a later number than its own."""

    def go_on(run: MaterializationRun, chunks: int) -> None:
        resume_run(run=run, actor=cast.operator, at=AT)
        runner.run(run_id=run.pk, worker="b", clock=pausing_after(run, chunks, cast.operator))

    with committed():
        materialize(history, end=AT - 100 * HOUR, at=AT - 100 * HOUR)
        run = ask(history)
        runner.run(run_id=run.pk, worker="a", clock=pausing_after(run, 1, cast.operator))
    reloaded(history)
    with committed():
        go_on(run, 2)
    with committed(), nothing_recorded():
        go_on(run, 3)
    MaterializationRun.objects.filter(pk=run.pk).update(
        status="errored", publishing=True, finished_at=AT, rows_offline=6
    )
    MaterializationSchedule.objects.update(enabled=False)

    with committed():
        assert materialize(history).status == "succeeded"

    run.refresh_from_db()
    assert (run.rows_offline, len(stored_chunks(run))) == (9, 3)
    equals_the_source(history)


def stored_chunks(run):
    return [each for each in read_chunks(run.chunks) if each.stored_at is not None]


def test_a_run_that_publishes_is_not_paused(cast, history):
    run = ask(history)
    attempt = runner.claim(run.pk, worker="a", at=AT)
    with Heartbeat(attempt, clock=lambda: AT) as heartbeat:
        heartbeat.begin_publishing()

    with pytest.raises(RunPublishing):
        pause_run(run=run, actor=cast.operator, at=AT)


def test_a_pause_that_is_taken_back_never_was(cast, history):
    with committed():
        run = ask(history)
        attempt = runner.claim(run.pk, worker="a", at=AT)
        pause_run(run=run, actor=cast.operator, at=AT)
        resume_run(run=run, actor=cast.operator, at=AT)
        with Heartbeat(attempt, clock=lambda: AT) as heartbeat:
            heartbeat.check()
    assert fresh(history).is_ready is False


@pytest.mark.parametrize(
    ("then", "became", "wants_more"),
    [(resume_run, "queued", True), (cancel_run, "cancelled", False)],
)
def test_a_pause_is_not_carried_out_when_something_else_was_asked_since(
    cast, history, monkeypatch, then, became, wants_more
):
    """Between the beat that sees the pause and the stop there is a while."""
    seen, asked = Heartbeat._renew, []

    def renew(self):
        seen(self)
        if isinstance(self.stopped, RunPaused):
            asked.append(then)
            then(run=MaterializationRun.objects.get(pk=run.pk), actor=cast.operator, at=AT)

    monkeypatch.setattr(Heartbeat, "_renew", renew)
    with committed():
        run = ask(history)
        pausing = pausing_after(run, 1, cast.operator)
        more = runner.run(run_id=run.pk, worker="a", clock=lambda: AT if asked else pausing())

    run.refresh_from_db()
    assert (run.status, more) == (became, wants_more)
    assert "paused" not in verbs_of(run)


def test_a_pause_that_is_taken_back_as_rows_are_published_stops_nothing(cast, history, monkeypatch):
    with committed():
        run = ask(history)
        attempt = runner.claim(run.pk, worker="a", at=AT)
        pause_run(run=run, actor=cast.operator, at=AT)
    seen = Heartbeat._renew

    def renew(self):
        MaterializationRun.objects.filter(pk=run.pk).update(pause_requested=False)
        seen(self)

    monkeypatch.setattr(Heartbeat, "_renew", renew)
    with Heartbeat(attempt, clock=lambda: AT) as heartbeat:
        heartbeat.begin_publishing()

    run.refresh_from_db()
    assert run.publishing is True


def test_the_time_left_is_unknown_until_rows_are_stored():
    run = MaterializationRun(status="running", attempt=2, window_end=AT)
    assert outlook(run, at=AT).seconds_left is None

    until = AT.isoformat()
    run.chunks = [
        {"until": until, "expected": 100, "seconds": 10.0, "stored_at": until}
        | {"counts": {"rows_read": 100}},
        {"until": until, "expected": 300},
    ]
    far = outlook(run, at=AT)

    assert (far.chunks_done, far.chunks, far.rows_done, far.rows_expected) == (1, 2, 100, 400)
    assert (far.rows_per_second, far.seconds_left) == (10, 30)
    run.status = "paused"
    assert outlook(run, at=AT).seconds_left is None


@pytest.fixture
def paused(cast, history):
    """A first backfill that was paused after the first of its six chunks."""
    with committed():
        run = ask(history)
        runner.run(run_id=run.pk, worker="a", clock=pausing_after(run, 1, cast.operator))
    run.refresh_from_db()
    assert (run.status, len(stored(history))) == ("paused", 3)
    return run


def go_on(run, cast):
    with committed():
        resume_run(run=run, actor=cast.operator, at=AT)
        return perform(run)


def test_a_table_with_a_paused_run_is_not_given_up(cast, history, paused, settings):
    """The run goes by what it stored: without that it would store the rest alone."""
    shutil.rmtree(settings.OFFLINE_STORE)
    settings.OFFLINE_STORE.mkdir()
    asked = {"table": fresh(history).table, "actor": cast.operator, "reason": "disk died", "at": AT}

    with pytest.raises(TableBusy, match=f"run {paused.pk} of .* is paused; cancel it"):
        accept_loss(**asked)

    with committed():
        cancel_run(run=paused, actor=cast.operator, at=AT)
        accept_loss(**asked)
        assert materialize(history).status == "succeeded"
    equals_the_source(fresh(history))


def test_a_run_whose_chunks_the_store_forgot_ends_and_the_next_stores_the_rest(
    cast, history, monkeypatch
):
    """The table knows a run's commits for 90 days."""
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() - 91 * 24 * 3600)
    with committed():
        run = ask(history)
        runner.run(run_id=run.pk, worker="a", clock=pausing_after(run, 1, cast.operator))
    monkeypatch.undo()
    offline_store().care(table_at(fresh(history).table), keep=timedelta(days=7))

    go_on(run, cast)

    assert (run.status, run.error_code) == ("failed", "chunks_forgotten")
    assert fresh(history).table.ready_at is None
    assert len(stored(history)) == 3
    with committed():
        assert materialize(history, end=AT + HOUR, at=AT + HOUR).status == "succeeded"
    equals_the_source(history)


def test_a_run_that_did_not_store_its_window_does_not_succeed(cast, history, paused):
    """Whatever it takes for stored: nobody else stores what a run that succeeded had to."""
    chunks = [msgspec.structs.replace(each, stored_at=AT) for each in read_chunks(paused.chunks)]
    MaterializationRun.objects.filter(pk=paused.pk).update(chunks=written_chunks(chunks))

    run = go_on(paused, cast)

    assert (run.status, run.error_code) == ("failed", "run_incomplete")
    assert "2026-03-01T12:00:00" in run.error
    assert fresh(history).table.ready_at is None
    assert len(coverage(table_of(history))) == 1
