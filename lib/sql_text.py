"""Names, texts and instants written into DuckDB SQL; nothing else quotes. [pure]

Not for building queries: whoever asks DuckDB does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.instants import to_us

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
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


def parquet_files(paths: Iterable[str], *options: str) -> str:
    """Return the table function that reads Parquet files, as their rows are.

    ``region=eu`` in a path would else replace a column, and a column whose statistics have no NaN
    be taken for one without: they never have, and ``isnan`` was false of each row.
    """
    told = ", ".join(("hive_partitioning = false", "can_have_nan = true", *options))
    return f"read_parquet({text_list(paths)}, {told})"


def text_struct(values: Mapping[str, str]) -> str:
    """Write ``{'name': 'TYPE', …}``, the form of the readers' ``types`` and ``columns``."""
    return "{" + ", ".join(f"{text(name)}: {text(value)}" for name, value in values.items()) + "}"


def key_list(keys: Sequence[object]) -> str:
    """Return ``k0, k1, …``: join keys under our own names, which no column of a source can take."""
    return ", ".join(f"k{i}" for i, _ in enumerate(keys))


def numbered(letter: str, things: Sequence[object], prefix: str = "") -> str:
    """Return ``, a0, a1, …``: further columns of a SELECT, one a thing."""
    return "".join(f", {prefix}{letter}{i}" for i, _ in enumerate(things))
