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


class Fates:
    """What became of the lines that comments are on, in a version's texts as they are now.

    Comments of one submission share their passages, and each passage is compared once.
    """

    def __init__(self, texts: dict[str, dict[Side, str]]) -> None:
        self._texts = texts
        self._compared: dict[tuple[int, str, str], dict[int, Became]] = {}

    def of(self, comment: ReviewComment) -> Became | None:
        """Return what became of a comment's line, None where it is on none."""
        if comment.line is None or comment.passage_id is None:
            return None
        key = comment.passage_id, comment.path, comment.side
        if key not in self._compared:
            now = self._texts.get(comment.path, {}).get(Side(comment.side), "")
            self._compared[key] = _compared(comment.passage.text, now)  # type: ignore[union-attr]
        return self._compared[key][comment.line]


def _compared(before: str, now: str) -> dict[int, Became]:
    """Return what became of each line of a text, by its number.

    Of a stretch that was rewritten a line became the one in its place, those beyond the last one.
    """
    found: dict[int, Became] = {}
    went: list[int] = []
    came: list[int | None] = []

    def settle() -> None:
        for place, number in enumerate(went):
            instead = came[min(place, len(came) - 1)] if came else None
            found[number] = Became(Fate.GONE if instead is None else Fate.CHANGED, instead)
        went.clear()
        came.clear()

    for line in line_changes(before, now):
        if line.mark == CAME:
            came.append(line.after)
            continue
        if line.mark == STAYED or came:  # those that went stand before those that came
            settle()
        if line.mark == WENT and line.before is not None:
            went.append(line.before)
        elif line.before is not None:
            found[line.before] = Became(Fate.UNCHANGED, line.after)
    settle()
    return found
