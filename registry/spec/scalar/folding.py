"""Letters that are one where a pattern ignores case, in some versions of Unicode's tables. [pure]

The engine and the server each fold by the tables that their RE2 was built with, and those may be of
two versions. Not for ``lower`` and ``upper`` (``texts``).
"""

from __future__ import annotations

import re

#: Two signs each for the same: one letter since Unicode 15.1 (CaseFolding.txt, status S).
PAIRS = (("\u0390", "\u1fd3"), ("\u03b0", "\u1fe3"), ("\ufb05", "\ufb06"))
_IGNORES = re.compile(r"\(\?[a-zA-Z]*i")
#: A sign of a pattern as it is written, and the range that it begins in a class.
_SIGN = r"\\x\{[0-9a-fA-F]+\}|\\x[0-9a-fA-F]{2}|\\.|."
_RANGE = re.compile(rf"({_SIGN})(?:-({_SIGN}))?", re.DOTALL)


def torn(pattern: str, options: str) -> str | None:
    """Return a letter that a pattern ignoring case has without the other that it may be one with.

    A range counts outside of classes, too: there its ends are letters that stand beside each other.
    """
    if "i" not in options and not _IGNORES.search(pattern):
        return None
    for first, last in _RANGE.findall(pattern):
        begin = _number(first)
        end = _number(last) if last else begin
        for pair in PAIRS:
            inside = [begin <= ord(letter) <= end for letter in pair]
            if any(inside) and not all(inside):
                return pair[inside.index(True)]
    return None


def _number(sign: str) -> int:
    if sign.startswith("\\x") and len(sign) > 2:
        return int(sign[2:].strip("{}"), 16)
    return ord(sign[-1])
