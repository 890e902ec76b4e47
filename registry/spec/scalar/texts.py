"""What functions of texts give in Python, as the engine gives it: by characters. [pure]"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: What functions that trim take for blank: the characters of Unicode's category Zs, and no others.
BLANKS = "\u0020\u00a0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u202f\u205f\u3000"


def substring(text: str, start: int, length: int | None = None) -> str:
    """Return characters from ``start`` on, which counts from 1, or back from the end.

    A negative length goes to the left.
    """
    first = start - 1 if start >= 0 else len(text) + start
    if length is None:
        return text[max(first, 0) :]
    if length < 0:
        first, length = first + length, -length
    return text[max(first, 0) : max(first + length, 0)]


def trimmed(text: str, characters: str, *, left: bool, right: bool) -> str:
    """Return a text without characters at its ends; in a time as long as both together.

    Python's own looks through all of the characters for each of the text.
    """
    found = set(characters)
    start, end = 0, len(text)
    while left and start < end and text[start] in found:
        start += 1
    while right and start < end and text[end - 1] in found:
        end -= 1
    return text[start:end]


def left(text: str, count: int) -> str:
    return text[:count] if count >= 0 else text[: max(len(text) + count, 0)]


def right(text: str, count: int) -> str:
    if count >= 0:
        return text[max(len(text) - count, 0) :]
    return text[min(-count, len(text)) :]


def replaced(text: str, old: str, new: str) -> str:
    return text.replace(old, new) if old else text


# --- case: character by character, whatever stands beside it -----------------------------------

#: Where the characters are of which Python makes several in capitals, and the engine one.
_EXPANDING = (*range(0x80, 0x590), *range(0x1E00, 0x2000), *range(0xFB00, 0xFB20))
_CAPITALS = {
    each: title if len(title := each.title()) == 1 else each
    for each in map(chr, _EXPANDING)
    if len(each.upper()) > 1
} | {"ß": "ẞ"}


def upper(text: str) -> str:
    found = text.upper()
    if len(found) == len(text):
        return found
    return "".join([_CAPITALS.get(each) or each.upper() for each in text])


def lower(text: str) -> str:
    """Return it in small letters; a sigma at a word's end is like any, and of İ the dot goes."""
    return text.replace("Σ", "σ").replace("İ", "i").lower()


# --- parts and patterns ---------------------------------------------------------------------------


def split_part(text: str, separator: str, number: int) -> str:
    """Return the part of that number, from 1 on, or back from the last; empty where none is."""
    count = text.count(separator) + 1 if separator else len(text)
    place = number - 1 if number > 0 else count + number
    if number == 0 or not 0 <= place < count:
        return ""
    if not separator:
        return text[place]
    start = 0
    for _ in range(place):
        start = text.index(separator, start) + len(separator)
    end = text.find(separator, start)
    return text[start:] if end < 0 else text[start:end]


def like(pattern: str) -> Callable[[str], bool]:
    """Return what tells whether a text is of a pattern: ``%`` is any text, ``_`` a character.

    The pieces between ``%`` are found one after the other, so that no text takes it long.
    """
    pieces = [_piece(each) for each in pattern.split("%")]
    if len(pieces) == 1:
        return lambda text: pieces[0].fullmatch(text) is not None
    (first, *middle), last = pieces[:-1], pieces[-1]
    tail = len(pattern) - pattern.rindex("%") - 1

    def matches(text: str) -> bool:
        found = first.match(text)
        for piece in middle:
            found = found and piece.search(text, found.end())
        if found is None:
            return False
        start = len(text) - tail
        return start >= found.end() and last.match(text, start) is not None

    return matches


def _piece(text: str) -> re.Pattern[str]:
    return re.compile("".join("." if c == "_" else re.escape(c) for c in text), re.DOTALL)
