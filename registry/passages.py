"""The texts of a version that people read line by line, and what became of an earlier line.

Not for showing them (pages do), nor for what is said about lines (``operations.lifecycle``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import msgspec

from registry.choices import Fate, Side, State
from registry.markup import plain
from registry.spec.differences import Difference, differences
from registry.spec.line_changes import CAME, STAYED, WENT, line_changes
from registry.spec.row_sql import laid_out

if TYPE_CHECKING:
    from registry.models import FeatureViewVersion, ReviewComment
    from registry.spec.line_changes import Line

#: The text of the whole canonical definition, and that of its SQL laid out.
DEFINITION, SQL = "definition", "sql"


#: A line of a version's texts: its path, side and number.
Place: TypeAlias = "tuple[str, str, int | None]"


class Became(NamedTuple):
    """What a line is now; ``line`` is its number, None where it is gone."""

    fate: Fate
    line: int | None


def place_of(path: str, line: Line) -> Place:
    """Return where a comment on a line is kept: what went is of the old side."""
    return (path, Side.OLD, line.before) if line.mark == WENT else (path, Side.NEW, line.after)


def difference_of(version: FeatureViewVersion) -> list[Difference]:
    """Return what the version changes of the one it is based on; nothing for a first one."""
    base = version.based_on
    if base is None:
        return []
    if version.packet and version.state != State.DRAFT:
        return [Difference(**row) for row in version.packet["diff"]]
    return differences(base.spec, version.spec)


def canonical(version: FeatureViewVersion) -> str:
    return plain(msgspec.to_builtins(version.spec))


def texts_of(version: FeatureViewVersion) -> dict[str, dict[Side, str]]:
    """Return each text of a version that has lines, by its path and side."""
    texts = {row.path: dict(zip(Side, row.texts(), strict=True)) for row in difference_of(version)}
    texts[DEFINITION] = {Side.NEW: canonical(version)}
    if sql := version.spec.view.sql:
        texts[SQL] = {Side.NEW: laid_out(sql)}
    return texts


def became_of(comment: ReviewComment, texts: dict[str, dict[Side, str]]) -> Became:
    """Return what became of the line a comment is on, in the ``texts`` of the version as it is."""
    now = texts.get(comment.path, {}).get(Side(comment.side), "")
    if now == comment.passage:
        return Became(Fate.UNCHANGED, comment.line)
    lines = line_changes(comment.passage, now)
    at = next(place for place, line in enumerate(lines) if line.before == comment.line)
    if lines[at].mark == STAYED:
        return Became(Fate.UNCHANGED, lines[at].after)
    instead = _instead_of(lines, at)
    return Became(Fate.GONE if instead is None else Fate.CHANGED, instead)


def _instead_of(lines: list[Line], at: int) -> int | None:
    """Return the number of the line that came where one went: the same of its stretch, or the last.

    Lines that went stand before those that came.
    """
    first = at
    while first and lines[first - 1].mark == WENT:
        first -= 1
    after = next((n for n in range(at, len(lines)) if lines[n].mark != WENT), len(lines))
    came = []
    while after < len(lines) and lines[after].mark == CAME:
        came.append(lines[after].after)
        after += 1
    return came[min(at - first, len(came) - 1)] if came else None
