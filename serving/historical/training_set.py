"""Training sets: an entity frame and the views to join to it → one Arrow table. No HTTP, no models.

Not for finding what a reference means or who may read it (``plan``), nor for how a row is found:
the engine does that.
"""

from __future__ import annotations

from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from lib.instants import MICROSECOND, from_us
from materialization.compute.questions import FOUND_EVENT, JoinQuestion, Timing
from registry.deprecation import Deprecation
from serving.historical.computed import compute_features
from serving.historical.features import ComputedFeature

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from materialization.compute.engine import Engine
    from materialization.compute.questions import JoinAnswer
    from materialization.stores.offline_values import StoredFile
    from registry.spec.version_spec import VersionSpec
    from serving.historical.entity_frame import EntityFrame
    from serving.historical.features import JoinedFeature


#: Where a feature's column says the type its values are declared with.
VALUE_TYPE = "assay.value_type"


class ViewPart(NamedTuple):
    """One version of one view within a question; ``files`` are what it reads of one snapshot.

    ``key_columns``: join key → the entity frame's column that has it, where names differ. ``known``
    is what the snapshot knows of a file, if anything.
    """

    label: str
    spec: VersionSpec
    files: tuple[str, ...]
    features: tuple[str, ...]
    key_columns: Mapping[str, str] = MappingProxyType({})
    known: Mapping[str, StoredFile] = MappingProxyType({})

    def files_for(self, first_us: int, last_us: int) -> tuple[str, ...]:
        """Return the files that may hold what matters to an instant from ``first`` to ``last``.

        Others are not even opened, or brought from where they are. Of an event without a TTL it
        matters how long ago an entity's first was.
        """
        spec, since = self.spec, None
        if spec.ttl is not None and not (spec.keeps_events and spec.view.is_unbounded):
            window = spec.view.longest_window if spec.keeps_events else timedelta()
            since = _instant(first_us - (spec.ttl + window) // MICROSECOND)
        until = _instant(last_us)
        known = ((file, self.known.get(file)) for file in self.files)
        return tuple(file for file, its in known if its is None or its.may_hold(since, until))


class PartCounts(NamedTuple):
    """To how many rows of how many one part gave something.

    ``differing`` counts the rows for which the two timings take different rows; None: not asked.
    """

    label: str
    rows: int
    matched: int
    differing: int | None

    def to_json(self) -> dict[str, str | int | None]:
        """Return what ``explain`` shows of this part."""
        return {
            "feature_view": self.label,
            "rows": self.rows,
            "matched": self.matched,
            "timings_differ": self.differing,
        }

    def with_more(self, others: PartCounts) -> PartCounts:
        """Return the counts of these rows and of ``others`` that the same part was asked for."""
        differing = None
        if self.differing is not None and others.differing is not None:
            differing = self.differing + others.differing
        matched = self.matched + others.matched
        return PartCounts(self.label, self.rows + others.rows, matched, differing)

    def warnings(self, timing: Timing) -> Iterator[str]:
        """Yield what whoever asked may have overlooked."""
        if self.rows and self.matched * 2 < self.rows:
            yield (
                f"{self.label} gave nothing to {self.rows - self.matched} of {self.rows} rows with"
                f' timing "{timing}". {_ADVICE[timing]}'
            )
        if self.differing:
            yield f"{self.label}: the two timings differ on {self.differing} of {self.rows} rows."


class PartAnswer(NamedTuple):
    """What one part gave. ``found`` is the stamp of the row each entity row took, else null."""

    label: str
    found: pa.ChunkedArray
    differing: int | None

    @property
    def matched(self) -> int:
        return len(self.found) - int(self.found.null_count)

    def counts(self) -> PartCounts:
        return PartCounts(self.label, len(self.found), self.matched, self.differing)


class TrainingSet(NamedTuple):
    """``table`` has the entity frame's columns, then ``columns`` in order; rows as in the frame.

    ``next`` is where an answer about all entities goes on, if there is more. ``lacking``: those of
    the warnings that say where computed features had no result.
    """

    table: pa.Table
    columns: tuple[JoinedFeature | ComputedFeature, ...]
    parts: tuple[PartAnswer, ...]
    warnings: tuple[str, ...]
    next: dict[str, Any] | None = None
    deprecation: Deprecation = Deprecation()
    lacking: tuple[str, ...] = ()


def join_features(
    frame: EntityFrame,
    parts: Sequence[ViewPart],
    columns: Sequence[JoinedFeature | ComputedFeature],
    *,
    engine: Engine,
    timing: Timing = Timing.KNOWN,
    explain: bool = False,
) -> TrainingSet:
    """Join to each row of ``frame`` the feature values of its keys at its ``event_timestamp``.

    Rows keep their order and duplicates, the frame's columns their values. Nothing qualifies: null.

    :raises EngineLimitExceeded, OfflineStoreUnavailable: as ``Engine.point_in_time_joins``.
    """
    joined = engine.point_in_time_joins(
        [_question(frame, part, timing, explain=explain) for part in parts]
    )
    table = frame.table
    asked = [each for each in columns if isinstance(each, ComputedFeature)]
    computed = compute_features(asked, frame, joined, engine=engine) if asked else {}
    for column in columns:
        if isinstance(column, ComputedFeature):
            values = computed[column.name].values
        else:
            values = joined[column.part].rows[column.feature]
        said = {VALUE_TYPE: column.type}  # text and JSON have one type in Arrow
        table = table.append_column(pa.field(column.name, values.type, metadata=said), values)
    answers = tuple(map(_part_answer, parts, joined))
    warnings = [warning for each in answers for warning in each.counts().warnings(timing)]
    warnings += late_events(parts, timing)
    lacking = tuple(warning for each in computed.values() for warning in each.warnings)
    return TrainingSet(table, tuple(columns), answers, (*warnings, *lacking), lacking=lacking)


def late_events(parts: Iterable[ViewPart], timing: Timing) -> list[str]:
    """Say of which parts the runs may not have stored all that an event timing asks for.

    A run looks for no event whose windows had all ended before its first tick; by the time at
    which such a row was known, it was none of any window.
    """
    if timing is not Timing.EVENT:
        return []
    return [
        f'{part.label}: with timing "event" its values may lack rows that arrived more than its'
        f" longest window{_back(part.spec)} after their event: runs do not read further back."
        ' With timing "known" none is missing.'
        for part in parts
        if _keeps_what_runs_saw(part.spec)
    ]


def _keeps_what_runs_saw(spec: VersionSpec) -> bool:
    return spec.keeps_events and not (spec.view.is_unbounded or spec.stores_events_only)


def _back(spec: VersionSpec) -> str:
    back = spec.rows_from.lookback or spec.rows_from.default_lookback
    return f" and {back} (the source's lookback)" if back else ""


def _question(frame: EntityFrame, part: ViewPart, timing: Timing, *, explain: bool) -> JoinQuestion:
    rows = frame.rows_for(part.spec, part.key_columns)
    question = JoinQuestion(part.spec, (), part.features, rows, timing, explain)
    files = part.files_for(*question.time_bounds_us) if rows.num_rows else ()
    return question._replace(files=files, events=files if part.spec.keeps_events else None)


def _instant(us: int) -> datetime | None:
    """Return None for what is no instant of Python's: then nothing is left out for it."""
    try:
        return from_us(us)
    except OverflowError:
        return None


def _part_answer(part: ViewPart, answer: JoinAnswer) -> PartAnswer:
    return PartAnswer(part.label, answer.rows[FOUND_EVENT], answer.differing)


_ADVICE = {
    Timing.KNOWN: 'Its created times may be those of one bulk load: compare with timing "event".',
    Timing.EVENT: 'Check keys, times and TTL; timing "known" would not find more.',
}
