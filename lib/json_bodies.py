"""JSON from outside: all the ways in which it cannot be read, and how deep it may go. [pure]

Not for what a body means: each door knows its own.
"""

from __future__ import annotations

from typing import Any

import msgspec

#: What decoding raises; the last two are no errors of msgspec's, though its input is to blame.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
#: Far beyond any body; what goes through a value step by step needs a stack as deep.
MAX_DEPTH = 40


def why_unreadable(error: Exception) -> str:
    """Return the reason in words; ``error`` is one of ``UNREADABLE``."""
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)


def is_too_deep(value: Any, *, most: int = MAX_DEPTH) -> bool:
    """Tell whether more than ``most`` lists and objects lie in each other."""
    level = [value]
    for _ in range(most):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return False
    return True


def _inside(value: Any) -> list[Any]:
    """Return the lists and objects directly in ``value``."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [item for item in items if isinstance(item, (dict, list))]
