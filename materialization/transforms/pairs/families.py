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


def holds_bytes(have: str) -> bool:
    """Say whether bytes are somewhere inside a nested type; names of fields may say anything."""
    return re.search(r"\bBLOB\b", _QUOTED.sub("", have)) is not None
