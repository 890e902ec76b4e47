"""What functions of texts give in Python, as the engine gives it: by characters. [pure]"""

from __future__ import annotations

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


def left(text: str, count: int) -> str:
    return text[:count] if count >= 0 else text[: max(len(text) + count, 0)]


def right(text: str, count: int) -> str:
    if count >= 0:
        return text[max(len(text) - count, 0) :]
    return text[min(-count, len(text)) :]


def replaced(text: str, old: str, new: str) -> str:
    return text.replace(old, new) if old else text
