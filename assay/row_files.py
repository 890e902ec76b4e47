"""Rows of a file on this machine, some at a time, as columns: Parquet, Arrow, CSV and JSON lines.
Not for entity frames, which are sent as the files they are; see files.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import IO, Any, NamedTuple

from assay.errors import Invalid, why_unreadable
from assay.extras import require
from assay.frames import batches_cut, sent_columns
from assay.shapes import Columns

STANDARD_INPUT = "-"
#: Of a CSV file, so much at once; no row may be longer.
BLOCK_BYTES = 8 << 20
KNOWN = ".parquet, .arrow, .csv, .jsonl, or - for JSON lines on standard input"
#: Gives the declared type of each column that is known; a CSV file says none itself.
Types = Callable[[], Mapping[str, str]]
Pieces = Iterator[Columns]


def rows_in(path: str, at_once: int, types: Types) -> Pieces:
    """Give the rows of a file, ``at_once`` of them each time, never all.

    :raises Invalid: it cannot be read, is of no kind that is known, or has no row.
    """
    try:
        are_none = True
        for piece in _reader(path)(path, at_once, types):
            are_none = False
            yield piece
    except UnicodeDecodeError as exc:
        raise Invalid(f"{path} is not UTF-8 text; rows are read from {KNOWN}", path=path) from exc
    except OSError as exc:
        raise Invalid(f"{path} cannot be read: {why_unreadable(exc)}", path=path) from exc
    if are_none:
        raise Invalid(f"{path} has no rows", path=path)


def _reader(path: str) -> Callable[[str, int, Types], Pieces]:
    """Return what reads a file, by its name; one that says nothing has JSON lines."""
    return READERS.get(Path(path).suffix.lower(), _of_lines)


def _of_lines(path: str, at_once: int, _: Types) -> Pieces:
    """Give the objects of all lines, each with the keys of all: those it lacks are null.

    All are read before the first is given, so that a line that cannot be is told before any is
    sent; what is kept of them is their keys.
    """
    with _text_of(path) as lines:
        names = dict.fromkeys(name for row in _objects(path, lines) for name in row)
        lines.seek(0)
        rows = _objects(path, lines)
        while some := list(islice(rows, at_once)):
            yield {name: [row.get(name) for row in some] for name in names}


@contextmanager
def _text_of(path: str) -> Iterator[IO[str]]:
    """Open a file of text that can be read twice."""
    if path != STANDARD_INPUT:
        with Path(path).open(encoding="utf-8") as file:
            yield file
        return
    with tempfile.TemporaryFile("w+", encoding="utf-8") as kept:
        shutil.copyfileobj(sys.stdin, kept)
        kept.seek(0)
        yield kept


def _objects(path: str, lines: IO[str]) -> Iterator[dict[str, Any]]:
    # Of a file, not of splitlines: that also cuts where a text within JSON may (U+2028).
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=_each_once, parse_float=_number)
        except ValueError as exc:
            raise Invalid(f"{path}, line {number} cannot be read as JSON: {exc}") from exc
        if not isinstance(row, dict):
            example = '{"user_id": 1}'
            raise Invalid(f"{path}, line {number} is no JSON object; write one, as in {example}")
        yield row


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        name = next(each for each in names if names.count(each) > 1)
        raise ValueError(f"an object has the key {name!r} twice; keep one")
    return row


def _of_parquet(path: str, at_once: int, _: Types) -> Pieces:
    pa = require("pyarrow", "reading a Parquet file")
    parquet = require("pyarrow.parquet", "reading a Parquet file")
    with _told(path, pa), parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=at_once):
            yield sent_columns(batch)


def _of_arrow(path: str, at_once: int, _: Types) -> Pieces:
    pa = require("pyarrow", "reading an Arrow file")
    ipc = require("pyarrow.ipc", "reading an Arrow file")
    with _told(path, pa), pa.OSFile(path) as file:
        is_stream = file.read(6) != b"ARROW1"
        file.seek(0)
        reader = ipc.open_stream(file) if is_stream else ipc.open_file(file)
        if is_stream:
            batches = iter(reader)
        else:
            batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
        yield from batches_cut(batches, at_once)


def _of_csv(path: str, at_once: int, types: Types) -> Pieces:
    """Give rows whose values are of the declared types; nothing between two commas is null."""
    pa = require("pyarrow", "reading a CSV file")
    csv = require("pyarrow.csv", "reading a CSV file")
    declared, row = types(), 0
    options = csv.ConvertOptions(
        column_types=dict.fromkeys(declared, pa.string()),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    with (
        _told(path, pa),
        csv.open_csv(
            path,
            read_options=csv.ReadOptions(block_size=BLOCK_BYTES),
            parse_options=csv.ParseOptions(newlines_in_values=True),
            convert_options=options,
        ) as file,
    ):
        for piece in batches_cut(iter(file), at_once):
            yield {
                name: _typed(path, name, values, declared.get(name, ""), row)
                for name, values in piece.items()
            }
            row += len(next(iter(piece.values()), []))


@contextmanager
def _told(path: str, pa: Any) -> Iterator[None]:
    try:
        yield
    except pa.ArrowException as exc:
        raise Invalid(f"{path} cannot be read: {exc}", path=path) from exc


def _typed(path: str, name: str, values: list[Any], kind: str, first: int) -> list[Any]:
    """Give what texts stand for in a column of a declared type; the server reads the others."""
    form = next((each for prefix, each in TEXTS.items() if kind.startswith(prefix)), None)
    if form is None:
        return values
    found = []
    for row, text in enumerate(values, first):
        try:
            found.append(None if text is None else form.read(text))
        except (KeyError, ValueError) as exc:
            said = f"{path}, row {row}, column {name}: {text!r} is no {kind}; write {form.valid}"
            raise Invalid(said, row=row, column=name) from exc
    return found


def _whole(text: str) -> int:
    if not NUMBER.fullmatch(text):
        raise ValueError(text)
    number = Decimal(text.strip())
    if number != number.to_integral_value():
        raise ValueError(text)
    return int(number)


def _number(text: str) -> int | float:
    """Give the float of a text; a whole number that no float has is the server's to refuse.

    :raises ValueError: it is no number, or one in digits that is beyond all floats.
    """
    found = float(text)
    if WHOLE.fullmatch(text) and found != int(text):
        return int(text)
    if "_" in text or (not isfinite(found) and any(map(str.isdigit, text))):
        raise ValueError(f"{text} is beyond what a float has")
    return found


def _list(text: str) -> Any:
    return json.loads(text, parse_float=_number)


#: A number as the files of sources may have it, and one without a fraction.
NUMBER = re.compile(r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?\s*")
WHOLE = re.compile(r"\s*[+-]?[0-9]+\s*")
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


class Form(NamedTuple):
    """How the texts of a type are read, and what they may be, in words."""

    read: Callable[[str], Any]
    valid: str


#: Of types for which JSON has no text. That of a ``json`` is sent as it is written: the server
#: takes a text there for JSON itself, with all its digits.
TEXTS = {
    "int": Form(_whole, "a whole number, as in 1001"),
    "float": Form(_number, "a number, as in 1.5, or NaN, Infinity, -Infinity"),
    "bool": Form(lambda text: BOOLEANS[text.strip().lower()], "true, false, 1 or 0"),
    "list<": Form(_list, "an array of JSON, as in [1, 2]"),
    "vector<": Form(_list, "an array of JSON, as in [0.5, 2]"),
}
READERS = {
    ".parquet": _of_parquet,
    ".arrow": _of_arrow,
    ".arrows": _of_arrow,
    ".feather": _of_arrow,
    ".csv": _of_csv,
}
