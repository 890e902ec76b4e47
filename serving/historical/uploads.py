"""Entity frames as they arrive: Parquet, Arrow stream, CSV, JSON columns → Arrow. [pure]

Not for what a frame must contain (``entity_frame``) and not for answers (``answers``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet

from serving.historical.entity_frame import BadEntityFrame, BadEntityValue, check_rows
from serving.historical.plain_columns import first_line
from serving.values import INTEGER_RANGES, KEY_FORMS, parse_keys, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from registry.spec.value_types import ValueType

    KeyTypes = Mapping[str, ValueType]

JSON = "application/json"
PARQUET = "application/vnd.apache.parquet"
ARROW = "application/vnd.apache.arrow.stream"
CSV = "text/csv"
#: Whole numbers as we write them; Arrow also reads ``0x10``, ``007`` and `` 1``.
_INTEGER = r"^-?(0|[1-9][0-9]*)$"
#: Digits beyond what a float tells apart: an identifier, also where a float has the same digits.
_LONG = r"^-?[0-9]{16,}$"


def read_frame(body: bytes, media_type: str, key_types: KeyTypes, *, max_rows: int) -> pa.Table:
    """Read an uploaded frame; ``key_types`` are the join keys' types, for formats without types.

    :raises BadEntityFrame: empty, damaged or another format than ``media_type`` says.
    :raises TooManyRows: over ``max_rows``.
    """
    if not body:
        raise BadEntityFrame("the body is empty; send an entity frame with a header or schema.")
    try:
        if media_type == PARQUET:  # a few bytes can say many rows: look before unpacking
            check_rows(pyarrow.parquet.read_metadata(pa.BufferReader(body)).num_rows, most=max_rows)
        table = _READERS[media_type](body, key_types)
        check_rows(table.num_rows, most=max_rows)
        table.validate(full=True)  # bytes from outside: offsets may point anywhere
        _decode(pa.struct(table.schema))
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError) as exc:
        raise BadEntityFrame(
            f"the body is not a readable {media_type}: {first_line(exc)}."
        ) from exc
    return table


def frame_of_columns(
    columns: Mapping[str, Sequence[Any]], key_types: KeyTypes, *, max_rows: int
) -> pa.Table:
    """Return JSON's columnar ``entities`` as a table; join keys exactly as declared.

    :raises BadEntityFrame: no columns or unequal lengths; names the columns and their lengths.
    :raises TooManyRows: over ``max_rows``.
    :raises BadEntityValue: a column of mixed types; names the column.
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
    check_rows(max(lengths.values()), most=max_rows)
    return pa.table({n: _json_column(n, v, key_types.get(n)) for n, v in columns.items()})


def _decode(kind: pa.DataType) -> None:
    """Read all names and zones within a type, which Arrow does not validate.

    :raises UnicodeDecodeError: one is not UTF-8.
    """
    _ = getattr(kind, "tz", None), [kind.field(i).name for i in range(kind.num_fields)]
    inner = [kind.field(i).type for i in range(kind.num_fields)]
    inner += [getattr(kind, of) for of in ("value_type", "storage_type") if hasattr(kind, of)]
    for one in inner:
        _decode(one)


def _json_column(name: str, values: Sequence[Any], key_type: ValueType | None) -> pa.Array:
    if key_type is not None:
        return pa.array(parse_keys(values, key_type, name=name), key_type.arrow)
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError) as exc:
        raise BadEntityValue(
            f"column {name!r} of entities has values of different types, or too large ones"
            f" ({first_line(exc)}). Send one type a column.",
            column=name,
        ) from exc


def _read_parquet(body: bytes, key_types: KeyTypes) -> pa.Table:
    return pyarrow.parquet.read_table(pa.BufferReader(body))


def _read_arrow(body: bytes, key_types: KeyTypes) -> pa.Table:
    with pyarrow.ipc.open_stream(pa.BufferReader(body)) as stream:
        return stream.read_all()


def _read_csv(body: bytes, key_types: KeyTypes) -> pa.Table:
    """Read text, then types: numbers where all cells are, join keys as declared, else text.

    An empty cell is null, ``""`` is the empty string.
    """
    parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
    names = pyarrow.csv.open_csv(pa.BufferReader(body), parse_options=parse).schema.names
    options = pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    texts = pyarrow.csv.read_csv(
        pa.BufferReader(body), parse_options=parse, convert_options=options
    )
    columns = [
        _csv_column(name, texts.column(i), key_types.get(name)) for i, name in enumerate(names)
    ]
    return pa.table(columns, names=names)


def _csv_column(name: str, column: pa.ChunkedArray, key_type: ValueType | None) -> pa.ChunkedArray:
    if key_type is None:
        return _guessed(column)
    if key_type.kind in INTEGER_RANGES:
        _refuse_odd_integers(name, column, key_type)
    elif key_type.kind != "bool":
        return column  # text, or text that entity_frame reads
    try:
        return column.cast(key_type.arrow)
    except pa.ArrowInvalid as exc:
        raise _bad_key(name, key_type, _first_bad(column, key_type)) from exc


def _refuse_odd_integers(name: str, column: pa.ChunkedArray, key_type: ValueType) -> None:
    row = pc.index(pc.match_substring_regex(column, _INTEGER), False).as_py()
    if row >= 0:
        raise _bad_key(name, key_type, column[row].as_py())


def _first_bad(column: pa.ChunkedArray, key_type: ValueType) -> str | None:
    for cell in column:
        try:
            cell.cast(key_type.arrow)
        except pa.ArrowInvalid:
            return str(cell)
    return None


def _bad_key(name: str, key_type: ValueType, cell: str | None) -> BadEntityValue:
    return BadEntityValue(
        f"join key {name!r} is {key_type}: {shown(cell)} is not. Send {KEY_FORMS[key_type.kind]}.",
        column=name,
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


_READERS: dict[str, Callable[[bytes, KeyTypes], pa.Table]] = {
    PARQUET: _read_parquet,
    ARROW: _read_arrow,
    CSV: _read_csv,
}
#: What an upload may be, beside JSON.
UPLOADS = tuple(_READERS)
