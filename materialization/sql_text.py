"""Names, texts and instants written into DuckDB SQL; nothing else quotes. [pure]

Not for building queries: ``casts``, ``sql`` and ``aggregation_sql`` do that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materialization.ticks import to_us

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime


def identifier(name: str) -> str:
    """Quote a column or table name."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """Quote a string; NUL cannot be written and is refused by DuckDB's parser."""
    return "'" + value.replace("'", "''") + "'"


def instant(at: datetime) -> str:
    """Write an instant as a constant, free of session settings and date formats."""
    return f"make_timestamptz({to_us(at)})"


def text_list(values: Iterable[str]) -> str:
    return "[" + ", ".join(text(value) for value in values) + "]"


def text_struct(values: Mapping[str, str]) -> str:
    """Write ``{'name': 'TYPE', …}``, the form of the readers' ``types`` and ``columns``."""
    return "{" + ", ".join(f"{text(name)}: {text(value)}" for name, value in values.items()) + "}"
