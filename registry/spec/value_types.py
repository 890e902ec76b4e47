"""The value types a feature or join key can have, and their Arrow and DuckDB forms. [pure]

Not for encoding values on the wire: ``serving`` and the stores do that.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec
import pyarrow as pa

from lib.errors import Invalid, did_you_mean

#: name → (Arrow type, DuckDB type). Times are UTC, microseconds.
SCALARS: dict[str, tuple[pa.DataType, str]] = {
    "bool": (pa.bool_(), "BOOLEAN"),
    "int32": (pa.int32(), "INTEGER"),
    "int64": (pa.int64(), "BIGINT"),
    "float32": (pa.float32(), "FLOAT"),
    "float64": (pa.float64(), "DOUBLE"),
    "string": (pa.string(), "VARCHAR"),
    "bytes": (pa.binary(), "BLOB"),
    "timestamp": (pa.timestamp("us", tz="UTC"), "TIMESTAMP WITH TIME ZONE"),
    "date": (pa.date32(), "DATE"),
    "json": (pa.string(), "VARCHAR"),
}
#: What other tools call the types.
SYNONYMS = {
    "double": "float64",
    "real": "float32",
    "integer": "int64",
    "long": "int64",
    "str": "string",
    "text": "string",
    "varchar": "string",
    "datetime": "timestamp",
    "binary": "bytes",
    "array": "list<T>",
    "embedding": "vector<N>",
    "numeric": "decimal(p,s)",
}
#: Types whose equality is exact and whose encoding is unique: only they can identify an entity.
KEY_TYPES = ("bool", "int32", "int64", "string", "bytes", "timestamp", "date")
#: As long as the column that keeps it; deeper lists than fit serve nobody.
MAX_LENGTH = 100
NUMERIC = ("int32", "int64", "float32", "float64", "decimal")

_DECIMAL = re.compile(r"decimal\(\s*([0-9]{1,2})\s*,\s*([0-9]{1,2})\s*\)")
_LIST = re.compile(r"list<(.+)>")
_VECTOR = re.compile(r"vector<\s*([0-9]{1,6})\s*>")


class UnknownType(Invalid):
    code = "unknown_type"


class ValueType(msgspec.Struct, frozen=True):
    """One value type: ``kind`` is a scalar's name, ``decimal``, ``list`` or ``vector``."""

    kind: str
    item: ValueType | None = None
    precision: int = 0
    scale: int = 0
    length: int = 0

    def __str__(self) -> str:
        if self.kind == "decimal":
            return f"decimal({self.precision},{self.scale})"
        if self.kind == "list":
            return f"list<{self.item}>"
        return f"vector<{self.length}>" if self.kind == "vector" else self.kind

    @property
    def is_numeric(self) -> bool:
        return self.kind in NUMERIC

    @property
    def arrow(self) -> pa.DataType:
        if self.kind == "decimal":
            return pa.decimal128(self.precision, self.scale)
        if self.kind == "list" and self.item is not None:
            return pa.list_(self.item.arrow)
        # Delta Lake has no fixed-size lists: a vector is stored as a list and its length checked.
        return pa.list_(pa.float32()) if self.kind == "vector" else SCALARS[self.kind][0]

    @property
    def duckdb(self) -> str:
        if self.kind == "decimal":
            return f"DECIMAL({self.precision},{self.scale})"
        if self.kind == "list" and self.item is not None:
            return f"{self.item.duckdb}[]"
        return "FLOAT[]" if self.kind == "vector" else SCALARS[self.kind][1]


@lru_cache(maxsize=1024)
def parse_type(text: str) -> ValueType:
    """Read ``int64``, ``decimal(10,2)``, ``list<string>`` or ``vector<384>``.

    :raises UnknownType: naming the value and the valid types.
    """
    name = text.strip() if len(text) <= MAX_LENGTH else ""
    if name in SCALARS:
        return ValueType(name)
    if match := _DECIMAL.fullmatch(name):
        precision, scale = int(match[1]), int(match[2])
        if not (1 <= precision <= 38 and scale <= precision):
            raise UnknownType(f"type {text!r}: precision is 1 to 38 and scale at most precision.")
        return ValueType("decimal", precision=precision, scale=scale)
    if match := _LIST.fullmatch(name):
        return ValueType("list", item=parse_type(match[1]))
    if match := _VECTOR.fullmatch(name):
        if not 1 <= int(match[1]) <= 65_536:
            raise UnknownType(f"type {text!r}: a vector has 1 to 65536 numbers.")
        return ValueType("vector", length=int(match[1]))
    valid = (*SCALARS, "decimal(p,s)", "list<T>", "vector<N>")
    hint = did_you_mean(name, valid, SYNONYMS)
    raise UnknownType(f"unknown type {text[:MAX_LENGTH]!r}.{hint}")
