"""How pages show what changed: value by value, line by line, nothing cut.

Not for finding out what differs: ``spec.differences`` and ``spec.line_changes`` do.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from registry.spec.line_changes import STAYED, Line, line_changes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.spec.differences import Difference

#: Lines that stayed and are shown on each side of a change.
CONTEXT = 3


class Stretch(NamedTuple):
    """Lines beside each other; those of a folded one all stayed as they were."""

    lines: list[Line]
    is_folded: bool


class ChangeRow(NamedTuple):
    """One value that differs; ``word`` is added, removed or changed."""

    path: str
    word: str
    stretches: list[Stretch]


def change_row(difference: Difference) -> ChangeRow:
    before, after = difference.before, difference.after
    word = "added" if before is None else "removed" if after is None else "changed"
    lines = line_changes(*difference.texts())
    return ChangeRow(difference.path.removeprefix("view."), word, list(_stretches(lines)))


def _stretches(lines: list[Line]) -> Iterator[Stretch]:
    """Fold what stayed as it was, but for some lines beside each change."""
    for stayed, group in groupby(lines, key=lambda line: line.mark == STAYED):
        found = list(group)
        above = 0 if found[0] is lines[0] else CONTEXT
        below = len(found) if found[-1] is lines[-1] else len(found) - CONTEXT
        if not stayed or below - above < CONTEXT:
            yield Stretch(found, is_folded=False)
            continue
        if found[:above]:
            yield Stretch(found[:above], is_folded=False)
        yield Stretch(found[above:below], is_folded=True)
        if found[below:]:
            yield Stretch(found[below:], is_folded=False)
