"""JSON from outside: all the ways in which it cannot be read, and how deep it may go. [pure]

Not for what a body means: each door knows its own.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from lib.errors import SHOWN_LENGTH


class RepeatedKey(ValueError):
    """An object has one key twice: whoever reads it would have to choose."""


#: What decoding raises; the last three are no errors of msgspec's, though its input is to blame.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, RepeatedKey)
#: Far beyond any body; what goes through a value step by step needs a stack as deep.
MAX_DEPTH = 40
#: The end of every key, and of a text that begins with a colon or has an escaped quote before one.
_KEY_END = re.compile(rb'"[ \t\r\n]*:')


def decode(raw: bytes) -> Any:
    """Return the value of a JSON text.

    :raises UNREADABLE: it is none, is nested too deeply, or has a key twice; ``why_unreadable``.
    """
    value = msgspec.json.decode(raw)
    if not _has_each_key_once(raw, value):
        # Numbers are not of interest here, and some are too long for Python to read.
        json.loads(raw, object_pairs_hook=_distinct, parse_int=len, parse_float=len)
    return value


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


def _has_each_key_once(raw: bytes, value: Any) -> bool:
    """Tell from counts alone, where they can: an object with objects in it, and no deeper ones.

    Most bodies are that; a decoder that says which keys it met takes several times as long.
    """
    objects = [value, *(value.values() if isinstance(value, dict) else ())]
    objects = [each for each in objects if isinstance(each, dict)]
    if raw.count(b"{") != len(objects):
        return False
    return len(_KEY_END.findall(raw)) == sum(map(len, objects))


def _distinct(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise RepeatedKey(f"an object has the key {key[:SHOWN_LENGTH]!r} twice; send it once")
        seen.add(key)
