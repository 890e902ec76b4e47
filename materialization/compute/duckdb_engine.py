"""The engine as DuckDB does it: users' SQL and files in a child process, our own stored rows here.

Not for the SQL (``stored_rows_sql``, ``point_in_time_sql``, ``transforms``) nor for opening DuckDB
(``session``).
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from materialization.compute import child
from materialization.compute.as_of_answers import as_of_answer
from materialization.compute.entity_answers import entity_rows
from materialization.compute.fitted import none_fitted, with_fitted
from materialization.compute.jobs import Events, LookJob
from materialization.compute.join_answers import join_answer
from materialization.compute.limits import EngineIdentity
from materialization.compute.look import looks_of, with_fetched
from materialization.compute.mask_keys import no_keys
from materialization.compute.own_failures import LESS, MORE, own_failures
from materialization.compute.session import open_session
from materialization.compute.spooled import spooled
from materialization.compute.staging import staged
from materialization.compute.stored_rows_sql import (
    ASKED,
    ORDERED_ROWS,
    latest_sql,
    renumbered_sql,
    same_stamps_sql,
    sample_sql,
    some_rows_sql,
    ties_sql,
)
from materialization.errors import TEMP_PREFIX
from materialization.finding.fetching import no_fetch
from materialization.quality.profiling import profile_files
from materialization.stores.columns import EVENTS, stored_schema
from materialization.transforms.aggregation.events import renumbered_events_sql
from materialization.transforms.aggregation.run import register

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import datetime

    from materialization.compute.child import Watch
    from materialization.compute.fitted import Fitted
    from materialization.compute.jobs import (
        Computed,
        ComputeJob,
        Fit,
        FitJob,
        ListedRow,
        ListJob,
        Split,
        SplitJob,
        Survey,
        SurveyJob,
    )
    from materialization.compute.limits import EngineLimits
    from materialization.compute.look import Look
    from materialization.compute.mask_keys import MaskKeys
    from materialization.compute.questions import EntitiesQuestion, JoinAnswer, JoinQuestion
    from materialization.compute.staging import Staged, _Reading
    from materialization.finding.fetching import Fetch
    from materialization.quality.profiles import Profile
    from materialization.sources.inputs import SourceInput
    from registry.spec.model import FeatureSpec, VersionSpec


class DuckDBEngine:
    """One machine's engine; see ``engine.Engine`` for what each method promises."""

    def __init__(
        self,
        limits: EngineLimits,
        mask_keys: MaskKeys = no_keys,
        fitted: Fitted = none_fitted,
        fetch: Fetch = no_fetch,
    ) -> None:
        self._limits, self._mask_keys = limits, mask_keys
        self._fitted, self._fetch = fitted, fetch

    @property
    def identity(self) -> EngineIdentity:
        of = self._limits
        settings: dict[str, int | float] = {
            "memory_limit_mb": of.memory_limit_mb,
            "threads": of.threads,
            "timeout_s": of.timeout_s,
        }
        return EngineIdentity("duckdb", duckdb.__version__, settings)

    def compute(self, job: ComputeJob, *, watch: Watch) -> Computed:
        job, keys = with_fitted(job, self._fitted), self._mask_keys(job.spec)
        with self._staged(job, watch) as here:
            computed = child.compute(here.job, self._limits, watch=watch, mask_keys=keys)
            counters = here.counted(computed.counters)
        return msgspec.structs.replace(computed, counters=counters)

    def survey(self, job: SurveyJob, *, watch: Watch) -> Survey:
        with self._staged(job, watch) as here:
            return child.survey(here.job, self._limits, watch=watch)

    def fit(self, job: FitJob, *, watch: Watch) -> Fit:
        with self._staged(job, watch) as here:
            return child.fit(here.job, self._limits, watch=watch)

    def split(self, job: SplitJob, *, watch: Watch) -> Split:
        job, keys = with_fitted(job, self._fitted), self._mask_keys(job.spec)
        with self._staged(job, watch) as here:
            return child.split(here.job, self._limits, watch=watch, mask_keys=keys)

    def look(
        self, specs: Sequence[VersionSpec], source: SourceInput, *, unseen: Collection[int] = ()
    ) -> list[Look]:
        job = LookJob(tuple(specs), source, frozenset(unseen))
        with self._staged(job, None) as here, child.start_child(here.job, self._limits) as started:
            return with_fetched(looks_of(started.report()), here.fetched)

    def _staged(
        self, job: _Reading, watch: Watch | None
    ) -> contextlib.AbstractContextManager[Staged[_Reading]]:
        def watch_fetching() -> None:
            if watch is not None:
                watch(0.0)

        return staged(job, self._limits, self._fetch, watch_fetching)

    def list_failing(self, job: ListJob) -> list[ListedRow]:
        with child.start_child(job, self._limits) as started:
            return started.report().rows or []

    def renumber(
        self,
        files: Sequence[str],
        spec: VersionSpec,
        *,
        sequence: int,
        staging: str,
        stored: Sequence[str] = (),
        since: int = 0,
    ) -> tuple[tuple[str, ...], Profile]:
        ordered = sum(pq.read_metadata(file).num_rows for file in files) <= ORDERED_ROWS
        to = str(Path(staging) / "0")
        sql = renumbered_sql(
            files, spec, sequence=sequence, to=to, ordered=ordered, stored=stored, since=since
        )
        with self._session() as session, own_failures("releasing rows", MORE):
            written = session.execute(sql).fetchall()
            names = tuple(name for name, size, *_ in written if size)
            rows = sum(size for _, size, *_ in written)
            profile = profile_files(session, names, spec.features, rows=rows)
        return names, profile

    def renumber_events(
        self,
        files: Sequence[str],
        spec: VersionSpec,
        *,
        sequence: int,
        staging: str,
        stored: Sequence[str],
        since: int,
    ) -> Events:
        if not files:
            return Events()
        to = str(Path(staging) / EVENTS)
        sql = renumbered_events_sql(
            files, spec, sequence=sequence, to=to, stored=stored, since=since
        )
        with self._session() as session, own_failures("releasing rows", MORE):
            written = session.execute(sql).fetchall()
        return Events(
            tuple(name for name, size, *_ in written if size), sum(size for _, size, *_ in written)
        )

    @contextlib.contextmanager
    def latest_rows(
        self,
        files: Sequence[str],
        spec: VersionSpec,
        *,
        as_of: datetime | None = None,
        sequence: int | None = None,
        up_to: int | None = None,
        among: pa.Table | None = None,
    ) -> Iterator[pa.RecordBatchReader]:
        schema = stored_schema(spec)
        if not files:
            yield pa.RecordBatchReader.from_batches(schema, [])
            return
        some = among is not None
        sql = latest_sql(files, spec, as_of=as_of, sequence=sequence, up_to=up_to, some=some)
        with self._session() as session, own_failures("finding the latest rows", MORE):
            if among is not None:
                session.register(ASKED, among)
            reader = session.sql(sql).to_arrow_reader(self._limits.batch_rows)
            batches = (batch.cast(schema) for batch in reader)
            yield pa.RecordBatchReader.from_batches(schema, batches)

    def some_entities(self, files: Sequence[str], spec: VersionSpec, count: int) -> pa.Table:
        fields = [pa.field(key.name, key.value_type.arrow) for key in spec.join_keys]
        if not files:
            return pa.schema(fields).empty_table()
        with self._session() as session, own_failures("choosing entities", MORE):
            found = session.sql(sample_sql(files, spec, count)).to_arrow_table()
        return found.cast(pa.schema(fields))

    def some_rows(self, files: Sequence[str], spec: VersionSpec, count: int) -> pa.Table:
        schema = stored_schema(spec)
        if not files:
            return schema.empty_table()
        with self._session() as session, own_failures("choosing rows", MORE):
            return session.sql(some_rows_sql(files, spec, count)).to_arrow_table().cast(schema)

    def same_stamps(self, files: Sequence[str], spec: VersionSpec, rows: pa.Table) -> pa.Table:
        schema = stored_schema(spec)
        if not files or not rows.num_rows:
            return schema.empty_table()
        with self._session() as session, own_failures("finding stored rows", MORE):
            session.register(ASKED, rows)
            return session.sql(same_stamps_sql(files, spec)).to_arrow_table().cast(schema)

    def profile(self, files: Sequence[str], features: Sequence[FeatureSpec]) -> Profile:
        rows = sum(pq.read_metadata(file).num_rows for file in files)
        with self._session() as session, own_failures("profiling rows", MORE):
            among = pq.read_schema(files[0]).names if files else ()
            return profile_files(session, files, features, rows=rows, among=among)

    def has_ties(self, files: Sequence[str], spec: VersionSpec) -> bool:
        if not files:
            return False
        with self._session() as session, own_failures("looking for ties", MORE):
            return bool(session.execute(ties_sql(files, spec)).fetchall())

    def entity_rows(self, question: EntitiesQuestion) -> pa.Table:
        if not any(view.files for view in question.views):
            return question.answer_schema.empty_table()
        with self._session() as session, own_failures("finding all entities", LESS):
            return entity_rows(session, question, spool=self._spooled)

    def point_in_time_joins(self, questions: Sequence[JoinQuestion]) -> list[JoinAnswer]:
        with own_failures("the training set", "ask for fewer rows or features"):
            joined = iter(self._joined([each for each in questions if each.events is None]))
            return [
                next(joined) if question.events is None else self._as_of(question)
                for question in questions
            ]

    def _joined(self, questions: Sequence[JoinQuestion]) -> list[JoinAnswer]:
        if not questions:
            return []
        # One session for all: opening DuckDB takes tens of milliseconds.
        with self._session() as session:
            return [join_answer(session, each, spool=self._spooled) for each in questions]

    def _as_of(self, question: JoinQuestion) -> JoinAnswer:
        # Expressions of definitions are computed in it: it can read the events and nothing else.
        with self._session(only=question.events) as session:
            register(session)
            slice_rows = self._limits.slice_rows
            return as_of_answer(session, question, slice_rows=slice_rows, spool=self._spooled)

    def _spooled(self, found: duckdb.DuckDBPyRelation, schema: pa.Schema) -> pa.Table:
        limits = self._limits
        return spooled(
            found.to_arrow_reader(limits.batch_rows),
            schema,
            directory=limits.temp_root or tempfile.gettempdir(),
            most_mb=limits.temp_limit_mb,
        )

    @contextlib.contextmanager
    def _session(self, only: Sequence[str] | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give a private session for our own stored files and the rows we register."""
        with (
            tempfile.TemporaryDirectory(prefix=TEMP_PREFIX, dir=self._limits.temp_root) as own,
            open_session(self._limits, directory=own, only=only) as session,
        ):
            yield session
