"""The engine as DuckDB does it: our own stored rows here, users' SQL and files in a child process.

Not for those (``sandboxed``), for the SQL (``stored_rows_sql``, ``point_in_time_sql``) nor for
opening DuckDB (``session``).
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from lib.readers_gone import while_somebody_waits
from materialization.compute.as_of_answers import as_of_answer
from materialization.compute.crowded_sql import crowded_sql
from materialization.compute.entity_answers import entity_rows
from materialization.compute.expressions import evaluate, refused
from materialization.compute.fitted import spec_with_fitted
from materialization.compute.join_answers import join_answer
from materialization.compute.kept_events_sql import (
    counted_events_sql,
    counted_schema,
    kept_events_sql,
)
from materialization.compute.limits import EngineIdentity
from materialization.compute.own_failures import LESS, MORE, own_failures
from materialization.compute.reports import Events
from materialization.compute.sandboxed import Sandboxed
from materialization.compute.session import open_session
from materialization.compute.spooled import DiskBudget
from materialization.compute.stored_rows_sql import (
    ASKED,
    ORDERED_ROWS,
    later_rows_sql,
    latest_sql,
    renumbered_sql,
    same_stamps_sql,
    sample_sql,
    some_rows_sql,
    ties_sql,
)
from materialization.errors import TEMP_PREFIX
from materialization.quality.profiling import profile_files
from materialization.stores.columns import EVENTS, key_fields, stored_schema
from materialization.transforms.aggregation.computing import register
from materialization.transforms.aggregation.events import events_schema, renumbered_events_sql

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime, timedelta

    from materialization.compute.limits import EngineLimits
    from materialization.compute.questions import (
        EntitiesQuestion,
        Evaluated,
        Expression,
        JoinAnswer,
        JoinQuestion,
        Trial,
    )
    from materialization.quality.profiles import Profile
    from registry.spec.model import FeatureSpec
    from registry.spec.version_spec import VersionSpec


class DuckDBEngine(Sandboxed):
    """One machine's engine; see ``engine.Engine`` for what each method promises."""

    @property
    def identity(self) -> EngineIdentity:
        of = self._limits
        settings: dict[str, int | float] = {
            "memory_limit_mb": of.memory_limit_mb,
            "threads": of.threads,
            "timeout_s": of.timeout_s,
        }
        return EngineIdentity("duckdb", duckdb.__version__, settings)

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
        self._bring([*files, *stored])
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
        self._bring([*files, *stored])
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
        self._bring(files)
        some = among is not None
        sql = latest_sql(files, spec, as_of=as_of, sequence=sequence, up_to=up_to, some=some)
        with self._session() as session, own_failures("finding the latest rows", MORE):
            if among is not None:
                session.register(ASKED, among)
            reader = session.sql(sql).to_arrow_reader(self._limits.batch_rows)
            batches = (batch.cast(schema) for batch in reader)
            yield pa.RecordBatchReader.from_batches(schema, batches)

    @contextlib.contextmanager
    def kept_events(
        self,
        files: Sequence[str],
        spec: VersionSpec,
        *,
        as_of: datetime,
        sequence: int | None = None,
        among: pa.Table | None = None,
    ) -> Iterator[pa.RecordBatchReader]:
        schema = events_schema(spec) if spec.is_pushed else counted_schema(spec)
        if not files:
            yield pa.RecordBatchReader.from_batches(schema, [])
            return
        self._bring(files)
        some = among is not None
        if spec.is_pushed:
            sql = kept_events_sql(files, spec, schema, as_of, some=some)
        else:
            sql = counted_events_sql(files, spec, as_of, sequence=sequence, some=some)
        with self._session() as session, own_failures("finding the events of windows", MORE):
            if among is not None:
                session.register(ASKED, among)
            reader = session.sql(sql).to_arrow_reader(self._limits.batch_rows)
            batches = (batch.cast(schema) for batch in reader)
            yield pa.RecordBatchReader.from_batches(schema, batches)

    def crowded_entities(
        self,
        files: Sequence[str],
        spec: VersionSpec,
        *,
        hop: timedelta,
        since: datetime,
        most: int,
        sequence: int | None = None,
    ) -> pa.Table:
        schema = pa.schema(key_fields(spec))
        if not files:
            return schema.empty_table()
        self._bring(files)
        sql = crowded_sql(files, spec, hop=hop, since=since, most=most, sequence=sequence)
        with self._session() as session, own_failures("adding events up", MORE):
            return session.sql(sql).to_arrow_table().cast(schema)

    @contextlib.contextmanager
    def later_rows(
        self, files: Sequence[str], spec: VersionSpec, *, after: datetime
    ) -> Iterator[pa.RecordBatchReader]:
        schema = stored_schema(spec)
        self._bring(files)
        with self._session() as session, own_failures("finding rows of the future", MORE):
            found = session.sql(later_rows_sql(files, spec, after=after))
            reader = found.to_arrow_reader(self._limits.batch_rows)
            batches = (batch.cast(schema) for batch in reader)
            yield pa.RecordBatchReader.from_batches(schema, batches)

    def some_entities(self, files: Sequence[str], spec: VersionSpec, count: int | None) -> pa.Table:
        schema = pa.schema(key_fields(spec))
        if not files:
            return schema.empty_table()
        self._bring(files)
        with self._session() as session, own_failures("choosing entities", MORE):
            found = session.sql(sample_sql(files, spec, count))
            return DiskBudget(self._limits).of(session)(found, schema)

    def some_rows(self, files: Sequence[str], spec: VersionSpec, count: int) -> pa.Table:
        schema = stored_schema(spec)
        if not files:
            return schema.empty_table()
        self._bring(files)
        with self._session() as session, own_failures("choosing rows", MORE):
            return session.sql(some_rows_sql(files, spec, count)).to_arrow_table().cast(schema)

    def same_stamps(self, files: Sequence[str], spec: VersionSpec, rows: pa.Table) -> pa.Table:
        schema = stored_schema(spec)
        if not files or not rows.num_rows:
            return schema.empty_table()
        self._bring(files)
        with self._session() as session, own_failures("finding stored rows", MORE):
            session.register(ASKED, rows)
            return session.sql(same_stamps_sql(files, spec)).to_arrow_table().cast(schema)

    def profile(self, files: Sequence[str], features: Sequence[FeatureSpec]) -> Profile:
        self._bring(files)
        rows = sum(pq.read_metadata(file).num_rows for file in files)
        with self._session() as session, own_failures("profiling rows", MORE):
            among = pq.read_schema(files[0]).names if files else ()
            return profile_files(session, files, features, rows=rows, among=among)

    def has_ties(self, files: Sequence[str], spec: VersionSpec) -> bool:
        if not files:
            return False
        self._bring(files)
        with self._session() as session, own_failures("looking for ties", MORE):
            return bool(session.execute(ties_sql(files, spec)).fetchall())

    def entity_rows(self, question: EntitiesQuestion) -> pa.Table:
        if not any(view.files for view in question.views):
            return question.answer_schema.empty_table()
        self._bring([file for view in question.views for file in view.files])
        with self._session() as session, own_failures("finding all entities", LESS):
            return entity_rows(session, question, spool=DiskBudget(self._limits).of(session))

    def evaluate(self, rows: pa.Table, expressions: Sequence[Expression]) -> list[Evaluated]:
        with self._session() as session, own_failures("computing features", "ask for fewer rows"):
            return evaluate(session, rows, expressions)

    def refused(self, trials: Sequence[Trial]) -> list[str | None]:
        with self._session() as session, own_failures("trying expressions", "send fewer of them"):
            return refused(session, trials)

    def point_in_time_joins(self, questions: Sequence[JoinQuestion]) -> list[JoinAnswer]:
        disk = DiskBudget(self._limits)
        self._bring([f for each in questions for f in each.read_files])
        with own_failures("the training set", "ask for fewer rows or features"):
            joined = iter(self._joined([each for each in questions if each.events is None], disk))
            return [
                next(joined) if question.events is None else self._as_of(question, disk)
                for question in questions
            ]

    def _joined(self, questions: Sequence[JoinQuestion], disk: DiskBudget) -> list[JoinAnswer]:
        if not questions:
            return []
        # One session for all: opening DuckDB takes tens of milliseconds.
        with self._session() as session:
            # Stored files never change: their footers are read once for all statements.
            session.execute("SET parquet_metadata_cache = true")
            answers = []
            for question in questions:
                session.execute(f"SET max_temp_directory_size = '{disk.left().temp_limit_mb}MB'")
                answers.append(join_answer(session, question, spool=disk.of(session)))
            return answers

    def _as_of(self, question: JoinQuestion, disk: DiskBudget) -> JoinAnswer:
        # Of stored rows the values are encoded; of events they are made now.
        question = question._replace(spec=spec_with_fitted(question.spec, self._fitted))
        # Expressions of definitions are computed in it: it can read the events and nothing else.
        with self._session(only=question.events, limits=disk.left()) as session:
            register(session)
            slice_rows = self._limits.slice_rows
            return as_of_answer(session, question, slice_rows=slice_rows, spool=disk.of(session))

    @contextlib.contextmanager
    def _session(
        self, only: Sequence[str] | None = None, limits: EngineLimits | None = None
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give a private session for our own stored files and the rows we register."""
        limits = limits or self._limits
        with (
            tempfile.TemporaryDirectory(prefix=TEMP_PREFIX, dir=limits.temp_root) as own,
            open_session(limits, directory=own, only=only) as session,
            while_somebody_waits(session.interrupt),
        ):
            yield session
