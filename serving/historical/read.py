"""Training sets: an entity frame and what to join to it → one Arrow table. No HTTP, no models.

Not for finding what a reference means or who may read it (``training_sets``), nor for the join
itself (``join``).
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lib.sql_text import text_list
from materialization.errors import EngineLimitExceeded
from materialization.stores.columns import PLACE, stored_schema
from materialization.stores.protocols import OfflineStoreUnavailable
from serving.historical.entity_frame import EVENT_TIMESTAMP, key_column, with_instants
from serving.historical.join import (
    FOUND_EVENT,
    ROW,
    JoinQuestion,
    Timing,
    difference_sql,
    point_in_time_sql,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from materialization.compute.limits import EngineLimits
    from registry.spec.model import VersionSpec


class ViewPart(NamedTuple):
    """One version of one view within a question; ``files`` are one Delta snapshot's."""

    label: str
    spec: VersionSpec
    files: tuple[str, ...]
    features: tuple[str, ...]


class AnswerColumn(NamedTuple):
    """One feature of the answer: its name there, which part's which feature it is, its type."""

    name: str
    part: int
    feature: str
    type: str


class PartAnswer(NamedTuple):
    """What one part gave. ``found`` is the stamp of the row each entity row took, else null.

    ``differing`` counts the rows for which the two timings take different rows; None: not asked.
    """

    label: str
    columns: dict[str, pa.ChunkedArray]
    found: pa.ChunkedArray
    differing: int | None

    @property
    def matched(self) -> int:
        return len(self.found) - int(self.found.null_count)

    def counts(self) -> dict[str, str | int | None]:
        """Return what ``explain`` shows of this part."""
        return {
            "feature_view": self.label,
            "rows": len(self.found),
            "matched": self.matched,
            "timings_differ": self.differing,
        }


class TrainingSet(NamedTuple):
    """``table`` has the entity frame's columns, then ``columns`` in order; rows as in the frame."""

    table: pa.Table
    columns: tuple[AnswerColumn, ...]
    parts: tuple[PartAnswer, ...]
    warnings: tuple[str, ...]


def get_historical_features(
    frame: pa.Table,
    parts: Sequence[ViewPart],
    columns: Sequence[AnswerColumn],
    *,
    limits: EngineLimits,
    timing: Timing = Timing.KNOWN,
    explain: bool = False,
) -> TrainingSet:
    """Join to each row of ``frame`` the feature values of its keys at its ``event_timestamp``.

    Rows keep their order and duplicates, the frame's columns their values; only
    ``event_timestamp`` becomes UTC microseconds. Nothing qualifies: null.

    :raises BadEntityFrame: a column is missing or its values are not what they must be.
    :raises EngineLimitExceeded: the time, memory or disk of ``limits`` is not enough.
    :raises OfflineStoreUnavailable: a stored file is not there or not readable.
    """
    frame = with_instants(frame)
    prepared = [(part, _entity_rows(frame, part)) for part in parts]
    with _engine(limits) as engine:
        answers = tuple(
            _answer(engine, part, rows, timing=timing, explain=explain) for part, rows in prepared
        )
    table = frame
    for column in columns:
        table = table.append_column(column.name, answers[column.part].columns[column.feature])
    warnings = [warning for answer in answers for warning in _warnings(answer, timing)]
    return TrainingSet(table, tuple(columns), answers, tuple(warnings))


def _entity_rows(frame: pa.Table, part: ViewPart) -> pa.Table:
    """Return what the join asks of the frame: row numbers, this part's typed keys, times."""
    keys = {key.name: key_column(frame, key, view=part.label) for key in part.spec.join_keys}
    return pa.table(
        {ROW: pa.array(np.arange(frame.num_rows, dtype=np.int64))}
        | keys
        | {EVENT_TIMESTAMP: frame[EVENT_TIMESTAMP]}
    )


def _answer(
    engine: duckdb.DuckDBPyConnection,
    part: ViewPart,
    rows: pa.Table,
    *,
    timing: Timing,
    explain: bool,
) -> PartAnswer:
    question = _question(engine, part, rows, timing)
    joined = engine.sql(point_in_time_sql(question)).to_arrow_table()
    types = {feature.name: feature.value_type.arrow for feature in part.spec.features}
    columns = {name: joined[name].cast(types[name]) for name in part.features}
    differing = None
    if explain:
        differing = engine.sql(difference_sql(question)).to_arrow_table()[0][0].as_py()
    return PartAnswer(part.label, columns, joined[FOUND_EVENT], differing)


def _question(
    engine: duckdb.DuckDBPyConnection, part: ViewPart, rows: pa.Table, timing: Timing
) -> JoinQuestion:
    """Put the part's rows before the engine and say what is asked of them."""
    engine.register("entity_rows", rows)
    if not part.files:
        engine.register("feature_rows", stored_schema(part.spec).empty_table())
    bounds = pc.min_max(rows[EVENT_TIMESTAMP].cast(pa.int64()))
    return JoinQuestion(
        join_keys=tuple(key.name for key in part.spec.join_keys),
        features=part.features,
        ttl=part.spec.ttl,
        timing=timing,
        earliest_us=bounds["min"].as_py(),
        latest_us=bounds["max"].as_py(),
        feature_rows=_stored_rows(part.files) if part.files else "feature_rows",
        place=PLACE if part.files else (),
    )


def _stored_rows(files: Sequence[str]) -> str:
    """Return SQL for the files' own columns; ``region=eu`` in a path would else replace one."""
    return f"read_parquet({text_list(files)}, hive_partitioning = false)"


@contextmanager
def _engine(limits: EngineLimits) -> Iterator[duckdb.DuckDBPyConnection]:
    """Give a private DuckDB for our own stored files and this frame, within ``limits``."""
    with (
        tempfile.TemporaryDirectory(prefix="assay-training-", dir=limits.temp_root) as spill,
        duckdb.connect(config={"python_enable_replacements": False}) as engine,
    ):
        for name, value in {
            "memory_limit": f"{limits.memory_limit_mb}MB",
            "threads": limits.threads,
            "temp_directory": spill,
            "max_temp_directory_size": f"{limits.temp_limit_mb}MB",
            "max_execution_time": max(1, int(limits.timeout_s * 1000)),
            "TimeZone": "UTC",
        }.items():
            engine.execute(f"SET {name} = ?", [value])
        try:
            yield engine
        except (duckdb.OutOfMemoryException, duckdb.InterruptException) as exc:
            raise EngineLimitExceeded(
                "the training set needs more memory, disk or time than one question may use;"
                f" ask for fewer rows or features. ({str(exc).splitlines()[0]})"
            ) from exc
        except duckdb.IOException as exc:
            raise OfflineStoreUnavailable(
                f"the stored rows cannot be read: {str(exc).splitlines()[0]}"
            ) from exc


def _warnings(answer: PartAnswer, timing: Timing) -> Iterator[str]:
    rows, matched = len(answer.found), answer.matched
    if rows and matched * 2 < rows:
        yield (
            f"{answer.label} gave nothing to {rows - matched} of {rows} rows with timing"
            f' "{timing}". {_ADVICE[timing]}'
        )
    if answer.differing:
        yield f"{answer.label}: the two timings differ on {answer.differing} of {rows} rows."


_ADVICE = {
    Timing.KNOWN: 'Its created times may be those of one bulk load: compare with timing "event".',
    Timing.EVENT: 'Check keys, times and TTL; timing "known" would not find more.',
}
