"""The forms in which entity frames arrive: Parquet, Arrow stream, CSV, JSON columns.

Each says what its columns are: which values of a join key, and what of them the answer repeats. Not
for which columns a frame must have (``entity_frame``) and not for answers (``answers``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from lib.media_types import ARROW, CSV, PARQUET
from serving.historical.plain_columns import first_line
from serving.historical.typed_columns import BadEntityFrame, BadEntityValue, typed_key
from serving.historical.uploads import decode_upload, too_many_rows
from serving.values import INTEGER_RANGES, KEY_FORMS, parse_exact_keys, parse_keys, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from serving.limits import ReadLimits
    from serving.values import KeyColumn

#: Whole numbers as we write them; Arrow also reads ``0x10``, ``007`` and `` 1``.
_INTEGER = r"^-?(0|[1-9][0-9]*)$"
#: Digits beyond what a float tells apart: an identifier, also where a float has the same digits.
_LONG = r"^-?[0-9]{16,}$"
#: Whatever others write for a number with a fraction or an exponent: ``1e-05``, ``2.0``, ``.5``.
_NUMBER = r"^[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]+)?$"
_FRACTION = "[.eE]"
#: Rows that are looked at before all are: most texts are known by them.
_FIRST = 1_000


class SentFrame(Protocol):
    """A frame as it was sent, before anything is asked of its columns."""

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def rows(self) -> int: ...

    def key(self, key: KeyColumn) -> pa.ChunkedArray:
        """Return a join key's column as exactly the values it is declared to have.

        :raises BadEntityValue, BadKeyValue: naming the column, a value and what would be valid.
        """

    def shown(self, typed: Mapping[str, pa.ChunkedArray]) -> pa.Table:
        """Return the columns as the answer repeats them; ``typed`` are join keys by name."""


class ArrowFrame(NamedTuple):
    """Columns that have types already, and are repeated as they are."""

    table: pa.Table

    @property
    def names(self) -> Sequence[str]:
        return self.table.column_names  # type: ignore[no-any-return]

    @property
    def rows(self) -> int:
        return int(self.table.num_rows)

    def key(self, key: KeyColumn) -> pa.ChunkedArray:
        return typed_key(self.table[key.name], key)

    def shown(self, typed: Mapping[str, pa.ChunkedArray]) -> pa.Table:
        return self.table


class TextFrame(NamedTuple):
    """Columns of text: numbers where all cells are, join keys as declared, else text."""

    table: pa.Table

    @property
    def names(self) -> Sequence[str]:
        return self.table.column_names  # type: ignore[no-any-return]

    @property
    def rows(self) -> int:
        return int(self.table.num_rows)

    def key(self, key: KeyColumn) -> pa.ChunkedArray:
        column = self.table[key.name]
        if key.type.kind in INTEGER_RANGES:
            _refuse_odd_integers(column, key)
        elif key.type.kind not in ("bool", "float32", "float64"):
            return typed_key(column, key)
        is_fraction = key.type.kind in ("float32", "float64")
        try:
            found = column.cast(pa.float64() if is_fraction else key.type.arrow)
            return typed_key(found, key) if is_fraction else found
        except pa.ArrowInvalid as exc:
            raise _bad_key(key, _first_bad(column, key)) from exc

    def shown(self, typed: Mapping[str, pa.ChunkedArray]) -> pa.Table:
        columns = [self._shown(name, typed.get(name)) for name in self.names]
        return pa.table(columns, names=self.names)

    def _shown(self, name: str, typed: pa.ChunkedArray | None) -> pa.ChunkedArray:
        if typed is None:
            return _guessed(self.table[name])
        is_typed = not (pa.types.is_temporal(typed.type) or pa.types.is_binary(typed.type))
        return typed if is_typed else self.table[name]  # times and bytes as they were written


def numbers_left_as_text(sent: SentFrame, besides: Collection[str]) -> list[str]:
    """Say which columns of CSV have numbers, and stay text for how some are written."""
    if not isinstance(sent, TextFrame):
        return []
    return [
        f"column {name!r} of the CSV has numbers and is text in the answer, for some are not"
        " written as we write them (1e-05, 2.0, 1.10 are not): send Parquet or Arrow, which say"
        " what they are."
        for name in sent.names
        if name not in besides and _stays_text(sent.table[name])
    ]


def _stays_text(column: pa.ChunkedArray) -> bool:
    """Return whether it has numbers only, some with a fraction, that are not taken for numbers."""
    for part in (column.slice(0, _FIRST), column):
        if pc.all(pc.match_substring_regex(part, _NUMBER)).as_py() is False:
            return False
    if not pc.any(pc.match_substring_regex(column, _FRACTION)).as_py():
        return False
    return bool(pa.types.is_string(_guessed(column).type))


class JsonFrame(NamedTuple):
    """Columns of JSON values: join keys as declared, else what all values of one are.

    ``int64_as_text``: keys of int64 may be text.
    """

    columns: Mapping[str, Sequence[Any]]
    int64_as_text: bool = False

    @property
    def names(self) -> Sequence[str]:
        return list(self.columns)

    @property
    def rows(self) -> int:
        return max(map(len, self.columns.values()), default=0)

    def key(self, key: KeyColumn) -> pa.ChunkedArray:
        parse = parse_exact_keys if self.int64_as_text else parse_keys
        values = parse(self.columns[key.name], key.type, name=key.name, what=key.what)
        return pa.chunked_array([pa.array(values, key.type.arrow)])

    def shown(self, typed: Mapping[str, pa.ChunkedArray]) -> pa.Table:
        return pa.table(
            {
                name: typed[name] if name in typed else _json_column(name, values)
                for name, values in self.columns.items()
            }
        )


def read_upload(body: bytes, media_type: str, *, limits: ReadLimits) -> SentFrame:
    """Read an uploaded frame, one of ``UPLOADS``.

    :raises BadEntityFrame: empty, damaged or another format than ``media_type`` says.
    :raises TooManyRows, TooManyColumns, FrameTooLarge: over ``limits``.
    """
    if not body:
        raise BadEntityFrame("the body is empty; send an entity frame with a header or schema.")
    try:
        frame = _FRAMES[media_type](decode_upload(body, media_type, limits))
        _decode(pa.struct(frame.table.schema))
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError) as exc:
        raise BadEntityFrame(
            f"the body is not a readable {media_type}: {first_line(exc)}."
        ) from exc
    return frame


def read_columns(
    columns: Mapping[str, Sequence[Any]], *, limits: ReadLimits, int64_as_text: bool = False
) -> SentFrame:
    """Return JSON's columnar ``entities`` as a frame.

    :raises BadEntityFrame: no columns or unequal lengths; names the columns and their lengths.
    :raises TooManyRows: over ``limits``.
    """
    if not columns:
        raise BadEntityFrame(
            '"entities" has no columns; it needs event_timestamp and the join keys.'
        )
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name}: {length}" for name, length in lengths.items())
        raise BadEntityFrame(
            f"the columns of entities have different lengths ({listed}); send one value a row.",
            lengths=lengths,
        )
    if (rows := max(lengths.values())) > limits.rows:
        raise too_many_rows(rows, limits)
    return JsonFrame(columns, int64_as_text)


def _decode(kind: pa.DataType) -> None:
    """Read all names and zones within a type, which Arrow does not validate.

    :raises UnicodeDecodeError: one is not UTF-8.
    """
    _ = getattr(kind, "tz", None), [kind.field(i).name for i in range(kind.num_fields)]
    inner = [kind.field(i).type for i in range(kind.num_fields)]
    inner += [getattr(kind, of) for of in ("value_type", "storage_type") if hasattr(kind, of)]
    for one in inner:
        _decode(one)


def _json_column(name: str, values: Sequence[Any]) -> pa.Array:
    """:raises BadEntityValue: values of several types; names the column."""
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError) as exc:
        raise BadEntityValue(
            f"column {name!r} of entities has values of different types, or too large ones"
            f" ({first_line(exc)}). Send one type a column.",
            column=name,
        ) from exc


def _refuse_odd_integers(column: pa.ChunkedArray, key: KeyColumn) -> None:
    row = pc.index(pc.match_substring_regex(column, _INTEGER), False).as_py()
    if row >= 0:
        raise _bad_key(key, column[row].as_py())


def _first_bad(column: pa.ChunkedArray, key: KeyColumn) -> str | None:
    for cell in column:
        try:
            cell.cast(key.type.arrow)
        except pa.ArrowInvalid:
            return str(cell)
    return None


def _bad_key(key: KeyColumn, cell: str | None) -> BadEntityValue:
    return BadEntityValue(
        f"{key.what} {key.name!r} is {key.type}: {shown(cell)} is not."
        f" Send {KEY_FORMS[key.type.kind]}.",
        column=key.name,
    )


def _guessed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return numbers where each cell is exactly what its number is written as; else the text."""
    long = pc.any(pc.match_substring_regex(column, _LONG)).as_py()
    for kind in (pa.int64(),) if long else (pa.int64(), pa.float64()):
        try:
            numbers = column.cast(kind)
        except pa.ArrowInvalid:
            continue
        if numbers.cast(pa.string()).equals(column):
            return numbers
    return column


_FRAMES: dict[str, Callable[[pa.Table], ArrowFrame | TextFrame]] = {
    PARQUET: ArrowFrame,
    ARROW: ArrowFrame,
    CSV: TextFrame,
}
#: What an upload may be, beside JSON.
UPLOADS = tuple(_FRAMES)
