"""Training sets: an entity frame and the views to join to it → one Arrow table. No HTTP, no models.

Not for finding what a reference means or who may read it (``plan``), nor for how a row is found:
the engine does that.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from materialization.compute.questions import FOUND_EVENT, JoinQuestion, Timing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from materialization.compute.engine import Engine
    from materialization.compute.questions import JoinAnswer
    from registry.spec.model import VersionSpec
    from serving.historical.entity_frame import EntityFrame


#: Where a feature's column says the type its values are declared with.
VALUE_TYPE = "assay.value_type"


class ViewPart(NamedTuple):
    """One version of one view within a question; ``files`` are what it reads of one snapshot.

    ``key_columns``: join key → the entity frame's column that has it, where names differ.
    """

    label: str
    spec: VersionSpec
    files: tuple[str, ...]
    features: tuple[str, ...]
    key_columns: Mapping[str, str] = MappingProxyType({})


class JoinedFeature(NamedTuple):
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
    """``table`` has the entity frame's columns, then ``columns`` in order; rows as in the frame.

    ``next`` is where an answer about all entities goes on, if there is more.
    """

    table: pa.Table
    columns: tuple[JoinedFeature, ...]
    parts: tuple[PartAnswer, ...]
    warnings: tuple[str, ...]
    next: dict[str, Any] | None = None


def join_features(
    frame: EntityFrame,
    parts: Sequence[ViewPart],
    columns: Sequence[JoinedFeature],
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
        [
            JoinQuestion(
                part.spec,
                part.files,
                part.features,
                frame.rows_for(part.spec, part.key_columns),
                timing,
                explain,
                part.files if part.spec.keeps_events else None,
            )
            for part in parts
        ]
    )
    table = frame.table
    for column in columns:
        values = joined[column.part].rows[column.feature]
        said = {VALUE_TYPE: column.type}  # text and JSON have one type in Arrow
        table = table.append_column(pa.field(column.name, values.type, metadata=said), values)
    answers = tuple(map(_part_answer, parts, joined))
    warnings = [warning for answer in answers for warning in _warnings(answer, timing)]
    return TrainingSet(table, tuple(columns), answers, tuple(warnings))


def _part_answer(part: ViewPart, answer: JoinAnswer) -> PartAnswer:
    return PartAnswer(part.label, answer.rows[FOUND_EVENT], answer.differing)


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
