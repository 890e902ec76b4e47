"""What happens inside the child: open the source, compute or look, stage rows, write the report.

Not for confinement (``main``, ``session``). Nothing here is called in the parent.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

import duckdb
import msgspec
import pyarrow as pa

from lib.decoding import json_reader
from lib.errors import AssayError, Invalid
from materialization.compute.jobs import (
    ComputeJob,
    Envelope,
    FitJob,
    Job,
    ListJob,
    LookJob,
    QueryJob,
    SplitJob,
    SurveyJob,
    TransformJob,
)
from materialization.compute.reports import Computed, Events, Report
from materialization.compute.session import open_session
from materialization.errors import MaskKeyMissing, to_report, without_example
from materialization.failures import translate
from materialization.quality.checking import check_files
from materialization.quality.profiling import profile_files
from materialization.sandbox.fitting import fit
from materialization.sandbox.listing import list_rows
from materialization.sandbox.look import look
from materialization.sandbox.opening import Opening
from materialization.sandbox.querying import query
from materialization.sandbox.repeats import store_once
from materialization.sandbox.splitting import split
from materialization.sandbox.staging import stage, stage_events
from materialization.sandbox.survey import survey
from materialization.sandbox.telling import Telling
from materialization.sandbox.transforming import transform
from materialization.sources.inputs import readable
from materialization.transforms.kinds import kind_of
from materialization.transforms.masking import set_key
from registry.spec.masks import is_hash

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    from materialization.compute.limits import EngineLimits
    from materialization.transforms.rows import Rehearsal
    from registry.spec.version_spec import VersionSpec


#: What the files, the SQL or the limits are to blame for; anything else is a mistake of ours.
_TOLD = (
    AssayError,
    duckdb.Error,
    pa.ArrowException,
    MemoryError,
    # data that are nested without end
    RecursionError,
    OSError,
)
_read_envelope = json_reader(Envelope)


def read_envelope(data: bytes) -> Envelope:
    return _read_envelope(data)


def run(envelope: Envelope, *, asked: BinaryIO, told: BinaryIO, report: TextIO) -> int:
    """Do the job; return the exit code: 0 done, 1 refused. How far it is goes to ``told``."""
    try:
        outcome = _outcome(envelope, asked, told)
    except _TOLD as exc:
        outcome = Report(error=to_report(_told_of(envelope.job, translate(exc))))
    report.write(msgspec.json.encode(outcome).decode() + "\n")
    report.flush()
    return 1 if outcome.error else 0


def _told_of(job: Job, error: AssayError) -> AssayError:
    """Return an error as it may be told: of a version with masks with no value of its source."""
    specs = job.specs if isinstance(job, LookJob) else [job.spec]
    return without_example(error) if any(spec.has_masks for spec in specs) else error


def _use_keys(
    connection: duckdb.DuckDBPyConnection, spec: VersionSpec, keys: Mapping[str, bytes]
) -> None:
    """:raises MaskKeyMissing: there are hashes to be made and nothing to make them with."""
    for feature in spec.features:
        if is_hash(feature.mask) and feature.name not in keys:
            raise MaskKeyMissing(
                f"{feature.name} is a hash, and the key {spec.mask_key!r} of its project is not at"
                " hand; submit its definition anew, so that it names the key there is."
            )
    for name, key in keys.items():
        set_key(connection, name, key)


def _outcome(envelope: Envelope, asked: BinaryIO, told: BinaryIO) -> Report:
    job, limits, directory = envelope.job, envelope.limits, envelope.temp_directory
    if isinstance(job, TransformJob):
        with open_session(limits, directory=directory, only=()) as connection:
            _use_keys(connection, job.spec, envelope.mask_keys)
            with _entered(connection, job.spec, limits):
                transform(connection, job.spec, asked, told)
        return Report()
    if isinstance(job, LookJob):
        with open_session(limits, directory=directory, only=readable(job.source)) as connection:
            return Report(looks=list(_looks(connection, job, limits)))
    if isinstance(job, ListJob):
        with open_session(
            limits, directory=directory, only=[*job.files, *job.stored_files]
        ) as connection:
            return Report(rows=list_rows(connection, job))
    if isinstance(job, SurveyJob):
        with open_session(limits, directory=directory, only=_paths(job)) as connection:
            open_part = Opening(connection, job.spec, job.source)
            with _entered(connection, job.spec, limits), _told_by(open_part):
                return Report(survey=survey(connection, job, open_part(job.source)))
    if isinstance(job, QueryJob):
        paths, staging = readable(job.source), job.staging
        with open_session(limits, directory=directory, only=paths, staging=staging) as connection:
            open_part = Opening(connection, job.spec, job.source)
            with _entered(connection, job.spec, limits), _told_by(open_part):
                return Report(queried=query(connection, job, open_part(job.source)))
    if isinstance(job, FitJob):
        with open_session(limits, directory=directory, only=_paths(job)) as connection:
            open_part = Opening(connection, job.spec, job.source)
            with _entered(connection, job.spec, limits), _told_by(open_part):
                return Report(fit=fit(connection, job, open_part(job.source), limits))
    if isinstance(job, SplitJob):
        return _split(job, envelope, told)
    kept = job.keeping.files if job.keeping is not None else ()
    only = [*_paths(job), *job.state_files, *job.stored_files, *kept]
    with open_session(limits, directory=directory, only=only, staging=job.staging) as connection:
        open_part, telling = Opening(connection, job.spec, job.source), Telling(connection, told)
        _use_keys(connection, job.spec, envelope.mask_keys)
        with _entered(connection, job.spec, limits), _told_by(open_part), telling.telling():
            return Report(computed=_compute(connection, job, limits, open_part, telling))


def _paths(job: ComputeJob | SurveyJob | SplitJob | FitJob) -> list[str]:
    """Return what a job opens of its sources, and of other views that its version reads."""
    read = job.spec.read_files.values()
    return [*readable(job.source), *(file for files in read for file in files)]


def _split(job: SplitJob, envelope: Envelope, told: BinaryIO) -> Report:
    limits, directory = envelope.limits, envelope.temp_directory
    paths, staging = _paths(job), job.staging
    with open_session(limits, directory=directory, only=paths, staging=staging) as connection:
        open_part, telling = Opening(connection, job.spec, job.source), Telling(connection, told)
        _use_keys(connection, job.spec, envelope.mask_keys)
        with _entered(connection, job.spec, limits), _told_by(open_part), telling.telling():
            return Report(split=split(connection, job, open_part))


def _looks(
    connection: duckdb.DuckDBPyConnection, job: LookJob, limits: EngineLimits
) -> Iterator[dict[str, Any]]:
    """Yield what each version finds, or the ``error`` that ended its look and no other.

    :raises AssayError: what ends all of them: a limit, or a part that does not answer.
    """
    for place, spec in enumerate(job.specs):
        open_part = Opening(connection, spec, job.source, sees_rows=place not in job.unseen)
        try:
            with _entered(connection, spec, limits) as rehearse, _told_by(open_part):
                yield look(
                    connection, spec, job.source, open_part(job.source), rehearse=rehearse,
                    tick_rows=limits.tick_rows, sees_rows=place not in job.unseen, at=job.at,
                )  # fmt: skip
        except Invalid as exc:
            error = to_report(without_example(exc) if spec.has_masks else exc)
            yield {"error": error, "transform": spec.transform.key}


def _entered(
    connection: duckdb.DuckDBPyConnection, spec: VersionSpec, limits: EngineLimits
) -> AbstractContextManager[Rehearsal]:
    """Give the connection what the version's kind of transform needs beside SQL."""
    return kind_of(spec).entering(connection, spec, limits)


@contextmanager
def _told_by(opening: Opening) -> Iterator[None]:
    """:raises AssayError: for whatever the files, the SQL or the limits are to blame for."""
    try:
        yield
    except _TOLD as exc:
        raise opening.told(exc) from exc


def _compute(
    connection: duckdb.DuckDBPyConnection,
    job: ComputeJob,
    limits: EngineLimits,
    open_part: Opening,
    telling: Telling,
) -> Computed:
    began = time.monotonic()
    events = Events()
    if job.prepared is not None:
        files, counted = job.prepared.files, job.prepared.counters
    else:
        rows = kind_of(job.spec).rows(connection, job, open_part, limits)
        files, count = stage(connection, job, rows, telling)
        counted = msgspec.structs.replace(rows.counted(), rows=count)
        events = stage_events(connection, job, rows.events)
    files, repeated = store_once(connection, job, files, rows=counted.rows)
    counted = msgspec.structs.replace(counted, rows=counted.rows - repeated, repeated=repeated)
    staged = time.monotonic()
    profile = profile_files(connection, files, job.spec.features, rows=counted.rows)
    checked = check_files(connection, files, job.spec, stored=job.stored_files)
    seconds = {"staging": staged - began, "profiling": time.monotonic() - staged}
    return Computed(counted, files, profile.to_json(), checked, seconds, events)
