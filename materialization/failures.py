"""DuckDB's errors as ours: what was wrong, where, and what a reader can do.

Not for deciding what is retried: the kinds of ``lib.errors`` say it.
"""

from __future__ import annotations

import contextlib
import csv
import json
import re
from itertools import pairwise
from typing import TYPE_CHECKING

import duckdb

from lib.errors import AssayError
from lib.outages import outage
from materialization.errors import (
    EngineLimitExceeded,
    RowSqlFailed,
    RowSqlRefused,
    SourceUnreadable,
    SourceValueInvalid,
    UnknownColumn,
)
from materialization.expression_faults import expression_fault
from materialization.transforms.casts import MARK, a_value_of
from materialization.transforms.python.carrying import fault_in
from registry.spec.row_sql import BadSql, columns_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

_NOT_FOUND = re.compile(r'Referenced column "([^"]+)" (?:was )?not found')
_CSV_LINE = re.compile(r"CSV Error on Line: ([0-9]+)")
_CSV_FILE = re.compile(r"^  file = (.+)$", re.MULTILINE)
_CSV_TEXT = re.compile(r"^Original Line: (.*)$", re.MULTILINE)
_CSV_FIELDS = re.compile(r"Expected Number of Columns: ([0-9]+) Found: ([0-9]+)")
_CSV_VALUE = re.compile(r'^Error when converting column "(.+)"\. (.+)$', re.MULTILINE)
#: The type a cast goes to, of those there are: nothing else of such a message is no value.
_TYPE = re.compile(
    r"\b(?:to|type) (?:type )?'?(U?(?:HUGE|BIG|SMALL|TINY)INT|U?INTEGER|U?INT(?:8|16|32|64|128)"
    r"|FLOAT|DOUBLE|BOOL(?:EAN)?|DATE|TIME|TIMESTAMP(?:_NS|_MS|_S)?(?: WITH TIME ZONE)?|INTERVAL"
    r"|UUID|BLOB|BIT|JSON|DECIMAL(?:\([0-9]+,[0-9]+\))?)\b"
)
_IS_TIME = re.compile(r"'(DATE|TIMESTAMP)")
#: What an engine says before a row is read: it quotes the SQL and names of columns.
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

    Its message quotes no value of the source: what does, or may, is its ``example``. ``said`` is
    the error's own message where somebody knows better than it does.
    """
    if isinstance(error, AssayError):
        return error
    if (lacking := outage(error)) is not None:
        return lacking
    if (carried := fault_in(str(error))) is not None:
        return carried
    message = said or str(error)
    if (found := found_value(message)) is not None:
        return _bad_value(found)
    if "maximum execution time" in message:
        return EngineLimitExceeded(
            "the computation took longer than its time limit; materialize a shorter window, "
            "or raise the limit.",
            limit="time",
        )
    if "Out of Memory" in message or "max_temp_directory_size" in message:
        return EngineLimitExceeded(
            "the computation needed more memory or disk than its limit; materialize a shorter "
            "window, or raise the limit.",
            limit="memory",
        )
    if at := _CSV_LINE.search(message):
        return _csv_line(message, int(at[1]))
    line = _first_line(message)
    if isinstance(error, _REFUSED):
        if missing := _NOT_FOUND.search(message):
            return UnknownColumn(missing[1], known or [])
        return RowSqlRefused(f"sql cannot be run on the source: {line}")
    if isinstance(error, duckdb.Error) and (fault := expression_fault(line)):
        return RowSqlFailed(f"an expression fails on a row: {fault}.", example=line)
    if isinstance(error, duckdb.ConversionException):
        types = _TYPE.findall(message)
        to = f" to {types[-1]}" if types else ""
        what = f"{to}{_cast_place(message, frozenset(known or ()))}"
        return SourceUnreadable(f"sql meets a value it cannot cast{what}.", example=line)
    if isinstance(error, (duckdb.IOException, OSError)):
        return SourceUnreadable(f"the source cannot be read: {line}")
    what = line.partition(":")[0] if isinstance(error, duckdb.Error) else type(error).__name__
    return SourceUnreadable(f"the source cannot be read: {what[:40]}.", example=line)


def _cast_place(message: str, known: Collection[str]) -> str:
    """Return the column that is cast, with the expression where it is shown; empty: not known.

    The expression is the view's own; after "column" the engine may go on with what was read.
    """
    lines = message.splitlines()
    for shown, marks in pairwise(lines):
        if shown.startswith("LINE ") and marks.strip() and not marks.strip("^ "):
            expression = shown[marks.index("^") : len(marks.rstrip())]
            with contextlib.suppress(BadSql):
                if named := [name for name in columns_of(expression) if name in known]:
                    return f": column {named[0]!r} in {expression}"
    _, _, column = lines[0].rpartition(" when casting from source column ")
    return f": column {column!r}" if column in known else ""


def found_value(message: str) -> dict[str, str] | None:
    """Return ``column``, ``type``, ``value`` and ``hint`` of an error of ours; None: it is none.

    A column that is masked has no ``value`` there.
    """
    if MARK not in message:
        return None
    found: dict[str, str]
    found, _ = json.JSONDecoder().raw_decode(message[message.index(MARK) + len(MARK) :])
    return found


def _bad_value(found: dict[str, str]) -> SourceValueInvalid:
    value = found.pop("value", None)
    return SourceValueInvalid(
        f"column {found['column']!r}: a value is not {a_value_of(found['type'])}."
        + ("" if found.get("hint") else " Correct the source, or declare the type it has."),
        example="" if value is None else repr(value),
        **found,
    )


def _csv_line(message: str, line: int) -> SourceUnreadable:
    """Return file, line, reason and what to do; DuckDB's own advice is about options we fix."""
    file = _CSV_FILE.search(message)
    where = f"{file[1] if file else 'the source'}, line {line}:"
    text = _CSV_TEXT.search(message)
    shown = repr(text[1][:200]) if text else ""
    if fields := _CSV_FIELDS.search(message):
        # The reader stops counting at the first field too many.
        count = max(int(fields[2]), len(next(csv.reader([text[1]]), [])) if text else 0)
        said = (
            f"{where} it has {count} fields, the header has {fields[1]}. Give each line as many as"
            ' the header; a field with a "," in it goes in "…".'
        )
    elif "unterminated quote" in message:
        said = (
            f'{where} it has a quote that is not closed, or goes on after its end. Put "…" around'
            ' whole fields, and "" for a quote inside.'
        )
    elif "utf-8" in message:
        said = f"{where} it has bytes that are not UTF-8. Write the file again as UTF-8."
    elif value := _CSV_VALUE.search(message):
        types = _TYPE.findall(value[2])
        said = (
            f"{where} column {value[1]!r} has a value that is no {types[-1] if types else 'such'}."
        )
        said += " Dates and times are ISO 8601." if _IS_TIME.search(value[2]) else ""
        shown = f"{value[2]} in {shown or 'it'}"
    else:
        reason = next(iter(message.strip().splitlines()[2:]), "")[:300]
        said = f"{where} it cannot be read as CSV."
        shown = f"{reason.rstrip('.')}, in {shown or 'it'}" if reason else shown
    return SourceUnreadable(said, example=shown)


def _first_line(message: str) -> str:
    return message.strip().splitlines()[0][:300] if message.strip() else "no reason given"
