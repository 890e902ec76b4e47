"""Events as runs store them, and aggregations asked for as of any instants.

Not for the loop they are compared with: ``tests/oracle_ticks.py`` has it.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from materialization.compute.duckdb_engine import DuckDBEngine
from materialization.compute.jobs import ComputeJob, Envelope, Keeping
from materialization.compute.questions import (
    FOUND_EVENT,
    EntitiesQuestion,
    JoinQuestion,
    StoredEntities,
    Timing,
)
from materialization.compute.reports import Report
from materialization.errors import from_report
from materialization.sandbox import compute as sandbox_run
from materialization.sources.files import resolve_source
from materialization.stores.columns import INSTANT
from materialization.transforms.aggregation.events import events_schema
from registry.choices import Accuracy
from registry.spec.sources.base import SourceColumn, SourceSchema
from tests.materialization.aggregation_cases import SCHEMA
from tests.materialization.engine_cases import END, LIMITS, write_parquet

#: DuckDB's names of the types that the cases' columns have.
_TYPES = {pa.string(): "VARCHAR", INSTANT: "TIMESTAMP WITH TIME ZONE", pa.float64(): "DOUBLE",
          pa.int64(): "BIGINT"}  # fmt: skip


def temporal(spec, schema=SCHEMA, **types):
    """Return the spec with temporal accuracy and the source's schema, as a submitted one has it."""
    columns = tuple(
        SourceColumn(name=field.name, type=types.get(field.name) or _TYPES[field.type])
        for field in schema
    )
    return msgspec.structs.replace(
        spec,
        view=msgspec.structs.replace(spec.view, accuracy=Accuracy.TEMPORAL),
        schema=SourceSchema(format="parquet", columns=columns),
    )


class Events:
    """The events of a table, run after run."""

    def __init__(self, spec, folder, *, schema=SCHEMA, limits=LIMITS):
        self.spec, self.folder, self.schema, self.limits = spec, Path(folder), schema, limits
        self.files, self.runs = [], 0

    def store(self, rows, *, start=None, end=END, is_first=False, corrects_at=None):
        """Do what a run over a source of these rows does; return how many events it stored."""
        self.runs += 1
        root = self.folder / f"run-{self.runs}"
        staging = root / "staging"
        staging.mkdir(parents=True)
        write_parquet(root, rows, self.schema)
        job = ComputeJob(
            spec=self.spec,
            source=resolve_source(self.spec.source, root=str(root)),
            window_start=start,
            window_end=end,
            keeping=Keeping(tuple(self.files), arrived=end, is_first=is_first),
            staging=str(staging),
            sequence=self.runs,
        )
        said = io.StringIO()
        with tempfile.TemporaryDirectory() as own:
            sandbox_run.run(
                Envelope(job, self.limits, own), asked=io.BytesIO(), told=io.BytesIO(), report=said
            )
        report = msgspec.json.decode(said.getvalue(), type=Report)
        if report.error is not None:
            raise from_report(report.error)
        found = report.computed.events
        for file in found.files:
            written = pq.read_schema(file)
            wanted = events_schema(self.spec)
            assert (written.names, written.types) == (wanted.names, wanted.types)
        self.files += found.files
        return found.rows

    def ask(self, asked, *, features=None, timing=Timing.KNOWN, explain=False):
        """Return the engine's answer for ``[(key, at)]``."""
        names = [key.name for key in self.spec.join_keys]
        fields = [pa.field(key.name, key.value_type.arrow) for key in self.spec.join_keys]
        rows = [{**dict(zip(names, key, strict=True)), "event_timestamp": at} for key, at in asked]
        schema = pa.schema([*fields, pa.field("event_timestamp", INSTANT)])
        question = JoinQuestion(
            self.spec,
            (),
            tuple(features or (feature.name for feature in self.spec.features)),
            pa.Table.from_pylist(rows, schema=schema),
            timing,
            explain,
            tuple(self.files),
        )
        [answer] = DuckDBEngine(self.limits).point_in_time_joins([question])
        return answer

    def entities(self, instants, *, between=None, timing=Timing.KNOWN, most=10_000, after=None):
        """Return the engine's rows for all entities at instants, or between two."""
        schema = pa.schema([(key.name, key.value_type.arrow) for key in self.spec.join_keys])
        at = tuple(sorted(instants))
        bounds = between or (at[0], at[-1])
        question = EntitiesQuestion(
            (StoredEntities(self.spec, tuple(self.files)),),
            schema,
            bounds,
            None if between else at,
            most,
            timing,
            after,
        )
        return DuckDBEngine(self.limits).entity_rows(question)

    def values(self, asked, **options):
        """Return for each of ``[(key, at)]`` its values, None where it is not found."""
        rows = self.ask(asked, **options).rows.to_pylist()
        found = []
        for row, (_, at) in zip(rows, asked, strict=True):
            stamp = row.pop(FOUND_EVENT)
            assert stamp in (None, at)
            assert stamp is not None or set(row.values()) == {None}
            found.append(None if stamp is None else row)
        return found
