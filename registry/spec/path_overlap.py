"""Whether two sources' paths may name one file: patterns are compared, not files. [pure]

What cannot be told apart overlaps: a set of letters stands for any. Not for finding files.
"""

from __future__ import annotations

import posixpath
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Any folders; any letters; one letter.
_FOLDERS, _MANY, _ONE = "**", "*", "?"


@lru_cache(maxsize=4096)
def may_overlap(first: str, second: str) -> bool:
    """Return whether some path fits both patterns, below one root."""
    return _fit_both(_segments(first), _segments(second), _FOLDERS, _segments_fit)


def _segments(path: str) -> list[str]:
    parts = [part for part in posixpath.normpath(path).split("/") if part not in ("", ".")]
    return [*parts, _MANY] if parts and parts[-1] == _FOLDERS else parts


def _segments_fit(first: str, second: str) -> bool:
    return _fit_both(_letters(first), _letters(second), _MANY, _letters_fit)


def _letters_fit(first: str, second: str) -> bool:
    return _ONE in (first, second) or first == second


def _letters(segment: str) -> list[str]:
    """Return the letters of a pattern for one name, each set of letters as any letter."""
    found, place = [], 0
    while place < len(segment):
        end = segment.find("]", place + 2) if segment[place] == "[" else -1
        found.append(_ONE if end > 0 else segment[place])
        place = end + 1 if end > 0 else place + 1
    return found


def _fit_both(
    first: Sequence[str], second: Sequence[str], any_: str, fit: Callable[[str, str], bool]
) -> bool:
    """Tell whether one sequence fits both, in which ``any_`` stands for as many as there may be."""
    # fits[n] says of the parts of ``first`` seen so far whether they fit the first n of ``second``.
    fits = [True]
    for part in second:
        fits.append(fits[-1] and part == any_)
    for one in first:
        before, fits = fits, [fits[0] and one == any_]
        for number, other in enumerate(second, 1):
            here = before[number - 1] and (any_ in (one, other) or fit(one, other))
            if one == any_:
                here = here or before[number] or fits[number - 1]
            if other == any_:
                here = here or before[number] or fits[number - 1]
            fits.append(here)
    return fits[-1]
