"""Two texts beside each other: which lines went, came or stayed, and which words of them. [pure]

Not for what the texts are about (``differences``). Nothing is left out: who shows lines may fold
those that stayed.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Opcode: TypeAlias = "tuple[str, int, int, int, int]"

STAYED, WENT, CAME = " ", "-", "+"
#: A word, a number, a run of blanks, or one other character.
_WORDS = re.compile(r"\w+|\s+|[^\w\s]")
#: Of two lines with less in common than this share, every word is another.
_ALIKE = 0.4
#: Pairs of lines, or of words, that are compared between what begins and what ends alike. Beyond it
#: all between counts as rewritten: a text made for it would take hours otherwise.
_MOST_PAIRS = 1_000_000


class Word(NamedTuple):
    text: str
    is_changed: bool


class Line(NamedTuple):
    """One line; ``before`` and ``after`` are its numbers there, from 1, None where it is not."""

    mark: str
    before: int | None
    after: int | None
    words: tuple[Word, ...]

    @property
    def text(self) -> str:
        return "".join(word.text for word in self.words)


def line_changes(before: str, after: str) -> list[Line]:
    """Return every line of both texts, in order, those that went before those that came."""
    old, new = before.split("\n") if before else [], after.split("\n") if after else []
    lines: list[Line] = []
    for tag, old_from, old_to, new_from, new_to in _opcodes(old, new):
        if tag == "equal":
            pairs = zip(range(old_from, old_to), range(new_from, new_to), strict=True)
            lines += (Line(STAYED, i + 1, j + 1, (Word(old[i], False),)) for i, j in pairs)
        else:
            went, came = old[old_from:old_to], new[new_from:new_to]
            sides = list(_sides(went, came))
            lines += (Line(WENT, old_from + n + 1, None, sides[n][0]) for n in range(len(went)))
            lines += (Line(CAME, None, new_from + n + 1, sides[n][1]) for n in range(len(came)))
    return lines


def unified(before: str, after: str) -> str:
    """Return the same as text, each line behind its mark."""
    return "\n".join(f"{line.mark} {line.text}" for line in line_changes(before, after))


def _sides(
    went: Sequence[str], came: Sequence[str]
) -> Iterator[tuple[tuple[Word, ...], tuple[Word, ...]]]:
    """Yield the words of lines that stand for each other; those of a line alone are not marked."""
    for number in range(max(len(went), len(came))):
        if number < min(len(went), len(came)):
            yield _words(went[number], came[number])
        else:
            alone = (went if number < len(went) else came)[number]
            yield (Word(alone, False),), (Word(alone, False),)


def _words(before: str, after: str) -> tuple[tuple[Word, ...], tuple[Word, ...]]:
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    changes = _opcodes(old, new)
    alike = sum(len("".join(old[start:end])) for tag, start, end, _, _ in changes if tag == "equal")
    if alike < _ALIKE * max(len(before), len(after)):
        return _another(before), _another(after)
    went, came = [], []
    for tag, old_from, old_to, new_from, new_to in changes:
        went.append(Word("".join(old[old_from:old_to]), tag != "equal"))
        came.append(Word("".join(new[new_from:new_to]), tag != "equal"))
    return tuple(filter(_has_text, went)), tuple(filter(_has_text, came))


def _another(line: str) -> tuple[Word, ...]:
    """Return a line that says something else, but for its indentation."""
    text = line.lstrip()
    words = Word(line[: len(line) - len(text)], False), Word(text, True)
    return tuple(filter(_has_text, words))


def _opcodes(old: Sequence[str], new: Sequence[str]) -> list[Opcode]:
    """Return what became of which parts, as ``SequenceMatcher.get_opcodes`` does."""
    most = min(len(old), len(new))
    start = next((n for n in range(most) if old[n] != new[n]), most)
    end = next((n for n in range(most - start) if old[-1 - n] != new[-1 - n]), most - start)
    inside, outside = old[start : len(old) - end], new[start : len(new) - end]
    found: list[Opcode] = [("equal", 0, start, 0, start)] if start else []
    if len(inside) * len(outside) > _MOST_PAIRS:
        found.append(("replace", start, len(old) - end, start, len(new) - end))
    else:
        matched = SequenceMatcher(None, inside, outside, autojunk=False).get_opcodes()
        found += (
            (tag, start + old_from, start + old_to, start + new_from, start + new_to)
            for tag, old_from, old_to, new_from, new_to in matched
        )
    if end:
        found.append(("equal", len(old) - end, len(old), len(new) - end, len(new)))
    return found


def _has_text(word: Word) -> bool:
    return bool(word.text)
