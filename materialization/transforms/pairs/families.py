"""The kinds of DuckDB's types, by the texts of its DESCRIBE. [pure]

Not for declared types: ``registry.spec.value_types``.
"""

from __future__ import annotations

import re

INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
UNSIGNED = tuple(f"U{name}" for name in INTEGERS)
#: From here on a float stands for several whole numbers, and which one was meant is lost.
EXACT_BELOW = {"FLOAT": 2**24, "DOUBLE": 2**53}
_BEGINNINGS = {"DECIMAL(": "decimal", "ENUM(": "enum", "TIMESTAMP": "time"}
_NAMES = {
    "VARCHAR": "text",
    "BOOLEAN": "bool",
    "DATE": "date",
    "BLOB": "bytes",
    "JSON": "json",
    "UUID": "uuid",
    "TIME": "clock",
    "TIME_NS": "clock",
    "TIME WITH TIME ZONE": "clock",
    '"NULL"': "null",
    "NULL": "null",
}
_QUOTED = re.compile(r'"(?:[^"]|"")*"')


def family(have: str) -> str:
    """Return the kind of a DuckDB type: integer, float, decimal, text, time, …."""
    if have in INTEGERS or have in UNSIGNED:
        return "integer"
    if have in EXACT_BELOW:
        return "float"
    if have.endswith("]"):  # first: a list of timestamps begins as a timestamp does
        return "list"
    if have.startswith(("STRUCT(", "MAP(", "UNION(")):
        return "nested"
    begins = (name for beginning, name in _BEGINNINGS.items() if have.startswith(beginning))
    return _NAMES.get(have) or next(begins, "other")


#: Types that have no text but what an engine makes up.
_WITHOUT_TEXT = re.compile(r"(?<![\w.])(?:BLOB|INTERVAL|BIT|GEOMETRY|VARIANT)(?=[,)\[(]|$)")
_FLOAT = re.compile(r"(?<![\w.])FLOAT(?=[,)\[]|$)")
_SMALL_DECIMAL = re.compile(r"(?<![\w.])DECIMAL\(\d+,(\d+)\)(?=[,)\[]|$)")


def has_text(have: str) -> bool:
    """Say whether all of a nested type can be written down; its fields may be called anything."""
    return _WITHOUT_TEXT.search(_QUOTED.sub("", have)) is None


def as_written(source: str, have: str) -> str:
    """Return a value whose JSON has its numbers as they are written, however deep they are.

    To JSON, DuckDB turns small decimals into doubles, and 0.1 as a float into 0.10000000149011612.
    """
    if _FLOAT.search(_QUOTED.sub("", have)):
        source = f"CAST({source} AS {_in_types(_FLOAT, 'VARCHAR', have)})"
    written = _in_types(_SMALL_DECIMAL, r"DECIMAL(38,\1)", _in_types(_FLOAT, "DOUBLE", have))
    return source if written == have else f"CAST({source} AS {written})"


def _in_types(pattern: re.Pattern[str], by: str, have: str) -> str:
    """Replace in a type's text, names of fields aside."""
    parts, last = [], 0
    for quoted in _QUOTED.finditer(have):
        parts += [pattern.sub(by, have[last : quoted.start()]), quoted[0]]
        last = quoted.end()
    return "".join([*parts, pattern.sub(by, have[last:])])
