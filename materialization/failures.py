"""DuckDB's errors as ours: what was wrong, where, and what a reader can do.

Not for deciding what is retried: the kinds of ``registry.errors`` say it.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import duckdb

from materialization.casts import MARK
from materialization.errors import (
    EngineLimitExceeded,
    RowSqlRefused,
    SourceUnreadable,
    SourceValueInvalid,
    UnknownColumn,
)
from registry.errors import AssayError

if TYPE_CHECKING:
    from collections.abc import Iterable

_NOT_FOUND = re.compile(r'Referenced column "([^"]+)" (?:was )?not found')
_REFUSED = (
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.ParserException,
    duckdb.PermissionException,
)


def translate(error: Exception, *, known: Iterable[str] | None = None) -> AssayError:
    """Return the error a person can act on; ``known`` are the source's columns."""
    if isinstance(error, AssayError):
        return error
    message = str(error)
    if MARK in message:
        return _bad_value(message)
    if "maximum execution time" in message:
        return EngineLimitExceeded(
            "the computation took longer than its time limit; materialize a shorter window, "
            "or raise the limit.",
            limit="time",
        )
    if "Out of Memory" in message or "max_temp_directory_size" in message:
        return EngineLimitExceeded(
            "the computation needed more memory or disk than its limit; materialize a shorter "
            f"window, or raise the limit. ({_first_line(message)})",
            limit="memory",
        )
    if missing := _NOT_FOUND.search(message):
        return UnknownColumn(missing[1], known or [])
    if isinstance(error, _REFUSED):
        return RowSqlRefused(f"sql cannot be run on the source: {_first_line(message)}")
    return SourceUnreadable(f"the source cannot be read: {_first_line(message)}")


def _bad_value(message: str) -> SourceValueInvalid:
    found, _ = json.JSONDecoder().raw_decode(message[message.index(MARK) + len(MARK) :])
    return SourceValueInvalid(
        f"column {found['column']!r}: {found['value']!r} is no {found['type']}. "
        "Correct the source, or declare the type it has.",
        **found,
    )


def _first_line(message: str) -> str:
    return message.strip().splitlines()[0][:300] if message.strip() else "no reason given"
