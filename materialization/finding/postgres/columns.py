"""How each PostgreSQL type travels: as it is, as text, or not at all, saying why. [pure]

Nothing is changed in silence: what Arrow has no exact form for is refused by name where a view
reads it, and left out where none does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_AS_THEY_ARE = frozenset({
    "bool", "int2", "int4", "int8", "float4", "float8", "text", "varchar", "bpchar", "char", "name",
    "bytea", "date", "timestamp", "timestamptz", "time",
})  # fmt: skip
#: What is exact as text, and would come as bytes of the server's own, or as another number.
_AS_TEXT = frozenset({"uuid", "json", "jsonb", "inet", "cidr", "macaddr", "xml", "citext"})
_LISTS = frozenset({"bool", "int2", "int4", "int8", "float4", "float8", "text", "varchar", "date",
                    "timestamp", "timestamptz"})  # fmt: skip
_LISTS_AS_TEXT = _AS_TEXT | {"numeric"}
_INSTEAD = {
    "money": "the server's locale decides its value; cast it in a `query`: x::numeric(12, 2)",
    "interval": "months have no length; have a `query` make a number of it: extract(epoch from x)",
    "timetz": "a time of day with a zone is no instant; cast it in a `query`",
}
_MOST_DIGITS = 38
#: What a nested list is cast to fails with these words in it; see ``_flat``.
NESTED = "assay: nested list in "


class Carried(NamedTuple):
    """A column as it is read: what is selected, and what it is cast to once it is here."""

    name: str
    sql: str
    arrow: pa.DataType | None = None


class Carrying(NamedTuple):
    """The columns of a source that can be read, and why others cannot, by name."""

    columns: tuple[Carried, ...]
    refused: Mapping[str, str]
    #: The server's name of each column's type.
    kinds: Mapping[str, str]
    notes: tuple[str, ...] = ()


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def carry(schema: pa.Schema, enums: Collection[str]) -> Carrying:
    """Return how each column of a result travels; ``enums`` names the types that are some."""
    columns, refused, names, notes = [], {}, {}, []
    for field in schema:
        name, typmod = _type_of(field)
        names[field.name] = name
        found = _carried(field.name, name, typmod, enums)
        if isinstance(found, str):
            refused[field.name] = f"column {field.name!r} is {name}; {found}."
            continue
        columns.append(found)
        if name == "numeric" and found.arrow is None:
            notes.append(
                f"{field.name} is numeric without a fixed precision and is read as text, exactly;"
                f" where SQL computes with it, cast it: {field.name}::numeric(18, 2) in a `query`."
            )
    return Carrying(tuple(columns), refused, names, tuple(notes))


def own_types(schema: pa.Schema) -> list[str]:
    """Return the names of types that are not the server's own, or that are left out."""
    names = {_type_of(field)[0] for field in schema}
    return sorted(names - _AS_THEY_ARE - _AS_TEXT - _INSTEAD.keys() - {"numeric", "oid"})


def _type_of(field: pa.Field) -> tuple[str, int]:
    said = field.metadata or {}
    typmod = int(said.get(b"POSTGRESQL:typmod", b"-1"))
    return str(said.get(b"POSTGRESQL:type", b""), "utf-8"), typmod


def _carried(column: str, kind: str, typmod: int, enums: Collection[str]) -> Carried | str:
    """Return how a column travels, or why it does not."""
    sql = quoted(column)
    if kind in _AS_THEY_ARE:
        return Carried(column, sql)
    if kind == "numeric":
        return Carried(column, f"{sql}::text", _decimal(typmod))
    if kind in _AS_TEXT or kind in enums:
        return Carried(column, f"{sql}::text")
    if kind == "oid":
        return Carried(column, f"{sql}::int8")
    if kind.startswith("_") and kind[1:] in _LISTS:
        return Carried(column, _flat(column, sql, f"{kind[1:]}[]"))
    if kind.startswith("_") and (kind[1:] in _LISTS_AS_TEXT or kind[1:] in enums):
        return Carried(column, _flat(column, f"{sql}::text[]", "text[]"))
    return _INSTEAD.get(kind, "no value of that type is kept exactly; cast it in a `query`")


def _flat(column: str, sql: str, to: str) -> str:
    """Return a list as it is, and an error for one of lists: the driver would make it flat."""
    said = literal(f"{NESTED}{column}: ")
    return (
        f"CASE WHEN array_ndims({sql}) > 1 THEN ({said} || array_ndims({sql})::text)::{to}"
        f" ELSE {sql} END"
    )


def _decimal(typmod: int) -> pa.DataType | None:
    """Return the type of ``numeric(p, s)``; None: it has no bound, or a larger one than Arrow's."""
    if typmod < 0:
        return None
    precision, scale = (typmod - 4) >> 16 & 0xFFFF, (typmod - 4) & 0x7FF
    fits = 1 <= precision <= _MOST_DIGITS and scale <= precision
    return pa.decimal128(precision, scale) if fits else None
