"""How pages show what changed: value by value, line by line, nothing cut.

Not for finding out what differs: ``spec.differences`` and ``spec.line_changes`` do.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from registry.choices import Side
from registry.spec.line_changes import STAYED, Line, Word, line_changes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from registry.passages import Place
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
    #: The whole path: what a comment on one of the lines names.
    key: str = ""


def change_row(difference: Difference, said_of: Collection[Place] = ()) -> ChangeRow:
    """Return how a value that differs is shown; nothing is folded that something is said of."""
    before, after = difference.before, difference.after
    word = "added" if before is None else "removed" if after is None else "changed"
    key = difference.path
    said = {(side, line) for path, side, line in said_of if path == key}
    stretches = _stretches(line_changes(*difference.texts()), said)
    return ChangeRow(key.removeprefix("view."), word, list(stretches), key)


def text_row(key: str, text: str) -> ChangeRow:
    """Return a text that is compared with nothing, as lines."""
    lines = [
        Line(STAYED, None, number, (Word(line, False),))
        for number, line in enumerate(text.split("\n"), 1)
    ]
    return ChangeRow(key, "", [Stretch(lines, is_folded=False)], key)


def _stretches(lines: list[Line], said: Collection[tuple[str, int | None]]) -> Iterator[Stretch]:
    """Fold what stayed as it was, but for some lines beside each change."""

    def is_quiet(line: Line) -> bool:
        return line.mark == STAYED and (Side.NEW, line.after) not in said

    for stayed, group in groupby(lines, key=is_quiet):
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
