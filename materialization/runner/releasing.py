"""Publishing rows that checks refused, because a steward decided so.

They are committed as a run's own rows are, under this run's name and sequence: whoever reads, loads
or adopts them finds nothing special. Not for deciding it (``requests.quarantine``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from lib.errors import Conflict
from materialization.choices import QuarantineState
from materialization.chunks import Chunk
from materialization.edges.engines import engine
from materialization.edges.stores import offline_store
from materialization.queries import coverage, table_at, uncovered
from materialization.repairs import ticks_went_on
from materialization.runner.adopting import adopt_windows, transaction_name
from materialization.runner.chunking import note
from materialization.runner.keeping import beside
from materialization.runner.noting import catch_up, note_stored_chunks
from materialization.runner.quarantine import NOTED, released_by
from materialization.runner.recording import note_commit, note_windows, require_store
from materialization.runner.storing import OFFLINE_SHARE, sequence_of
from materialization.stores.columns import stored_schema

if TYPE_CHECKING:
    from materialization.models import MaterializationRun, Quarantine
    from materialization.quality.profiles import Profile
    from materialization.runner.heartbeat import Heartbeat
    from materialization.stores.offline_values import CommitResult


class NothingToRelease(Conflict):
    code = "nothing_to_release"


def store_held(run: MaterializationRun, heartbeat: Heartbeat) -> None:
    """Commit what is in quarantine; an earlier attempt, or run, may have and not recorded it.

    :raises NothingToRelease: it is not there any more.
    """
    require_store(run.table)
    adopt_windows(run.table)
    catch_up(run, heartbeat)
    about = released_by(run)
    held = about.filter(state=QuarantineState.RELEASING, ended_by=run).first()
    if held is None and about.filter(state=QuarantineState.RELEASED).exists():
        return  # by a run that died before it could say so
    if held is None:
        raise NothingToRelease("what it was to release is in quarantine no longer; look there.")
    if ticks_went_on(held):  # by a run that had died before it could say so
        raise NothingToRelease("later ticks continue those that it was to correct; look there.")
    result = _commit(run, held, heartbeat)
    if result.already:  # by an attempt that was overtaken and not dead
        catch_up(run, heartbeat)
    else:
        _record(run, result.rows, heartbeat)


def _commit(run: MaterializationRun, held: Quarantine, heartbeat: Heartbeat) -> CommitResult:
    """Commit what is held but for the rows that another run has stored since."""
    store, place, spec = offline_store(), table_at(run.table), run.version.spec
    aside, sequence = store.aside(place, held.stored_as), sequence_of(run)
    if not aside.files:
        raise NothingToRelease(
            f"the files of {held} are not there any more; have its range computed again (backfill)."
        )
    if not run.chunks:
        note(run, [Chunk(run.window_end)])
    store.clear_staging(place)
    with store.staging(place, f"{run.pk}-{run.attempt}") as folder:
        stored, since = store.snapshot(place), held.run.sequence or 0
        staged, profile = engine().renumber(
            aside.files, spec, sequence=sequence, staging=folder, stored=stored.files, since=since
        )
        events = engine().renumber_events(
            aside.events, spec, sequence=sequence, staging=folder, stored=stored.events, since=since
        )
        _note_evidence(run, held, profile)
        heartbeat.begin_publishing()
        result = store.commit(
            place,
            staged,
            schema=stored_schema(spec),
            sequence=sequence,
            transaction=transaction_name(run.pk),
            rows=profile.rows,
            events=beside(run, events),
        )
    note_commit(run.table, result)
    return result


def _note_evidence(run: MaterializationRun, held: Quarantine, profile: Profile) -> None:
    """Note before the commit what it will have published, as any run does."""
    rows = profile.rows
    note(
        run,
        [Chunk(run.window_end, counts={"rows_stored": rows, NOTED: held.pk})],
        progress=OFFLINE_SHARE,
        source_counts={"rows_stored": rows, "already_stored": held.rows - rows},
        profile=profile.to_json(),
        has_profile=True,
    )


def _record(run: MaterializationRun, rows: int, heartbeat: Heartbeat) -> None:
    """:raises LeaseLost: another attempt has the run; it will note the same."""
    # Of a time that is stored already there were late rows: the table has to know of theirs too.
    windows = uncovered(run.version, coverage(run.table), run.window) or [run.window]
    with transaction.atomic():
        note_stored_chunks(run, [0], at=heartbeat.now(), is_committed=True, rows_offline=rows)
        note_windows(run, windows)
