"""DuckDB's errors as ours: what was wrong, where, and what a reader can do.

Not for deciding what is retried: the kinds of ``lib.errors`` say it.
"""

from __future__ import annotations

import csv
import json
import re
from typing import TYPE_CHECKING

import duckdb

from lib.errors import AssayError
from lib.outages import outage
from materialization.errors import (
    EngineLimitExceeded,
    RowSqlRefused,
    SourceUnreadable,
    SourceValueInvalid,
    UnknownColumn,
)
from materialization.transforms.casts import MARK, a_value_of

if TYPE_CHECKING:
    from collections.abc import Iterable

_NOT_FOUND = re.compile(r'Referenced column "([^"]+)" (?:was )?not found')
_CSV_LINE = re.compile(r"CSV Error on Line: ([0-9]+)")
_CSV_FILE = re.compile(r"^  file = (.+)$", re.MULTILINE)
_CSV_TEXT = re.compile(r"^Original Line: (.*)$", re.MULTILINE)
_CSV_FIELDS = re.compile(r"Expected Number of Columns: ([0-9]+) Found: ([0-9]+)")
_CSV_VALUE = re.compile(r'^Error when converting column "(.+)"\. (.+)$', re.MULTILINE)
_IS_TIME = re.compile(r"'(DATE|TIMESTAMP)")
_REFUSED = (
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.ParserException,
    duckdb.PermissionException,
)


def translate(
    error: Exception, *, known: Iterable[str] | None = None, said: str | None = None
) -> AssayError:
    """Return the error a person can act on; ``known`` are the source's columns.

    ``said`` is the error's message where somebody knows better than it does.
    """
    if isinstance(error, AssayError):
        return error
    if (lacking := outage(error)) is not None:
        return lacking
    message = said or str(error)
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
    if at := _CSV_LINE.search(message):
        return SourceUnreadable(_csv_line(message, int(at[1])))
    if missing := _NOT_FOUND.search(message):
        return UnknownColumn(missing[1], known or [])
    if isinstance(error, duckdb.ConversionException):
        return SourceUnreadable(f"sql meets a value it cannot cast: {_first_line(message)}")
    if isinstance(error, _REFUSED):
        return RowSqlRefused(f"sql cannot be run on the source: {_first_line(message)}")
    return SourceUnreadable(f"the source cannot be read: {_first_line(message)}")


def _bad_value(message: str) -> SourceValueInvalid:
    found, _ = json.JSONDecoder().raw_decode(message[message.index(MARK) + len(MARK) :])
    return SourceValueInvalid(
        f"column {found['column']!r}: {found['value']!r} is not {a_value_of(found['type'])}."
        + ("" if found.get("hint") else " Correct the source, or declare the type it has."),
        **found,
    )


def _csv_line(message: str, line: int) -> str:
    """Return file, line, reason and what to do; DuckDB's own advice is about options we fix."""
    file = _CSV_FILE.search(message)
    where = f"{file[1] if file else 'the source'}, line {line}:"
    text = _CSV_TEXT.search(message)
    shown = repr(text[1][:200]) if text else "it"
    if fields := _CSV_FIELDS.search(message):
        # The reader stops counting at the first field too many.
        count = max(int(fields[2]), len(next(csv.reader([text[1]]), [])) if text else 0)
        return (
            f"{where} {shown} has {count} fields, the header has {fields[1]}. Give each line as"
            ' many as the header; a field with a "," in it goes in "…".'
        )
    if "unterminated quote" in message:
        return (
            f'{where} {shown} has a quote that is not closed, or goes on after its end. Put "…"'
            ' around whole fields, and "" for a quote inside.'
        )
    if "utf-8" in message:
        return f"{where} it has bytes that are not UTF-8. Write the file again as UTF-8."
    if value := _CSV_VALUE.search(message):
        said = f"{where} column {value[1]!r}: {value[2]} in {shown}."
        return f"{said} Dates and times are ISO 8601." if _IS_TIME.search(value[2]) else said
    reason = next(iter(message.strip().splitlines()[2:]), "it cannot be read")[:300]
    return f"{where} {reason.rstrip('.')}, in {shown}."


def _first_line(message: str) -> str:
    return message.strip().splitlines()[0][:300] if message.strip() else "no reason given"
