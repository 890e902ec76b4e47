"""One value as text that a language model reads as data, not as an instruction. [pure]

Not for which values there are: ``rendering`` goes through them.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from lib.errors import UNSEEN
from lib.instants import parse_instant
from lib.json_floats import json_float
from registry.spec.context import AGE, DATE
from serving.values import EPOCH_TEXT

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from registry.spec.value_types import ValueType

#: Characters of one text and items of one list; more is cut, and said to be.
MAX_TEXT, MAX_ITEMS = 200, 20
UNKNOWN, NO_VALUE = "unknown", "no value"
#: One word of letters, digits and signs within it is told from our own text without quotes.
_WORD = re.compile(r"[^\W_](?:[\w.-]{0,38}\w)?")
#: Words that say something of a value here: of a text that is one of them they are quoted.
_OURS = {UNKNOWN, "no", "expired", "true", "false", "null", "none", "nan", "infinity", "not"}
#: What begins or ends markup, roles and places of templates in what models are trained on.
_MARKUP = re.compile(r"[<>{}\[\]|`&\x00-\x1f\x7f]")
_NUMBERS = {"NaN": "not a number", "Infinity": "infinity", "-Infinity": "minus infinity"}
_UNITS = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))


def value_words(value: Any, kind: ValueType, form: str) -> str:
    """Return a value (not null) as the answer's JSON has it, in a format of its template."""
    if kind.kind in ("list", "vector"):
        return _list_words(value, kind.item)
    if kind.kind == "bool":
        return "true" if value else "false"
    if kind.kind in ("int32", "int64", "float32", "float64", "decimal"):
        return _number_words(value, kind, form)
    if kind.kind == "timestamp":
        return str(value)[:10] if form == DATE else str(value).replace(".000000Z", "Z")
    if kind.kind == "date":
        return str(value)
    return quoted(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def quoted(text: str) -> str:
    """Return a text of somebody's as one word, or in quotes, in which nothing ends them.

    What is in quotes is a JSON string: line breaks, quotes, what nobody sees and what begins
    markup, a role or a place of a template is escaped, so that it stays data whatever it says.
    """
    is_word = _WORD.fullmatch(text) and not text[0].isdigit() and text.lower() not in _OURS
    if is_word and text.isprintable() and not UNSEEN.search(text):
        return text
    shown = text[:MAX_TEXT]
    inner = json.dumps(shown, ensure_ascii=False)[1:-1]
    safe = "".join(_escaped(each) for each in inner)
    rest = "" if len(text) <= MAX_TEXT else f" (the first {MAX_TEXT} of {len(text)} characters)"
    return f'"{safe}"{rest}'


def _escaped(character: str) -> str:
    is_seen = character.isprintable() and not UNSEEN.match(character)
    if is_seen and not _MARKUP.match(character):
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def ago(since: timedelta) -> str:
    """Return ``3 days ago``, in the largest unit of which there is one, rounded down."""
    seconds = since.total_seconds()
    for name, size in _UNITS:
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {name}{'s' if count != 1 else ''} ago"
    return "just now"


def age_words(event_timestamp: str, at: datetime) -> str:
    """Return how long ago an event was; of what is computed from none it is unknown."""
    is_none = event_timestamp == EPOCH_TEXT
    return UNKNOWN if is_none else ago(at - parse_instant(event_timestamp))


def _number_words(value: Any, kind: ValueType, form: str) -> str:
    if isinstance(value, float):
        value = json_float(value)
    if isinstance(value, str) and value in _NUMBERS:
        return _NUMBERS[value]
    if form not in ("", AGE):
        # Python rounds whole numbers to fractions of 53 bits before it writes these two.
        is_exact = isinstance(value, str) or (isinstance(value, int) and form[-1] in "f%")
        return format(Decimal(value) if is_exact else value, form)
    return str(np.float32(value)) if kind.kind == "float32" else str(value)


def _list_words(values: list[Any], item: ValueType | None) -> str:
    shown = [
        "null" if each is None else str(each) if item is None else value_words(each, item, "")
        for each in values[:MAX_ITEMS]
    ]
    if len(values) > MAX_ITEMS:
        shown.append(f"and {len(values) - MAX_ITEMS} more")
    return f"[{', '.join(shown)}]"
