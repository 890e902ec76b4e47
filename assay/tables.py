"""Arrow tables of answers: made of typed values, and given as Python values and pandas frames.
Not for what is sent; see frames. A column of a declared type says it in its field's metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from assay.extras import require
from assay.frames import EVENT_TIMESTAMP
from assay.shapes import ArrowTable, Columns, DataFrame, PolarsFrame
from assay.value_types import arrow_type, json_text, json_value

#: Key of a field's metadata: the type its values are declared with.
VALUE_TYPE = b"assay.value_type"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def table_of(columns: Columns, kinds: Mapping[str, str | None], purpose: str) -> ArrowTable:
    """Make a table of typed values; without a declared type a column is what Arrow makes of it."""
    pa = require("pyarrow", purpose)
    arrays, fields = [], []
    for name, values in columns.items():
        kind = kinds.get(name)
        if kind == "json":
            values = [None if value is None else json_text(value) for value in values]
        arrays.append(pa.array(values, arrow_type(kind, pa)))
        said = {VALUE_TYPE: kind.encode()} if kind else None
        fields.append(pa.field(name, arrays[-1].type, metadata=said))
    return pa.table(arrays, schema=pa.schema(fields))


def with_one_json_text(table: ArrowTable) -> ArrowTable:
    """Write the ``json`` columns as ``table_of`` does: one text a value, however it was stored."""
    pa = require("pyarrow", "reading json values")
    for place, field in enumerate(table.schema):
        if is_json(field):
            texts = table.column(place).to_pylist()
            values = [None if text is None else json_text(json_value(text)) for text in texts]
            table = table.set_column(place, field, pa.chunked_array([values], field.type))
    return table


def is_json(field: Any) -> bool:
    return bool((field.metadata or {}).get(VALUE_TYPE) == b"json")


def columns_of_table(table: ArrowTable) -> Columns:
    """Give Python values: instants aware in ``datetime.UTC``, ``json`` as what its text means."""
    return {field.name: _python(field, table[field.name]) for field in table.schema}


def _python(field: Any, column: Any) -> list[Any]:
    if str(field.type) == "timestamp[us, tz=UTC]":  # looks no zone up for each: six times faster
        since = column.cast("int64").to_pylist()
        return [None if us is None else EPOCH + timedelta(microseconds=us) for us in since]
    values: list[Any] = column.to_pylist()
    if is_json(field):
        return [None if text is None else json_value(text) for text in values]
    return [_in_utc(value) for value in values] if "tz=UTC" in str(field.type) else values


def _in_utc(value: Any) -> Any:
    """Give instants, also those in lists, the zone that ``datetime`` itself has for UTC."""
    if isinstance(value, list):
        return [_in_utc(item) for item in value]
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def to_pandas(table: ArrowTable) -> DataFrame:
    """Give a frame in which every value is exact and null is apart from NaN.

    Numbers and booleans without nulls have NumPy's types, instants ``datetime64``, ``json`` are
    objects; every other column is Arrow-backed, so integers beside nulls stay integers.
    """
    pandas = require("pandas", "a pandas frame")
    columns = {field.name: _series(field, table[field.name]) for field in table.schema}
    return pandas.DataFrame(columns, index=pandas.RangeIndex(table.num_rows))


def to_polars(table: ArrowTable) -> PolarsFrame:
    """Give a frame of the same types; ``json`` is its text, as Arrow has it."""
    frame: PolarsFrame = require("polars", "a polars frame").from_arrow(table)
    return frame


def _series(field: Any, column: Any) -> Any:
    pandas, pa = require("pandas", "a pandas frame"), require("pyarrow", "a pandas frame")
    kind = field.type
    if is_json(field):
        return pandas.Series(_python(field, column), dtype=object)
    plain = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    if (plain and not column.null_count) or pa.types.is_dictionary(kind):
        return column.to_pandas()
    if pa.types.is_timestamp(kind):
        return column.to_pandas()
    return pandas.Series(pandas.arrays.ArrowExtensionArray(column))


def beside(frame: DataFrame, answer: ArrowTable) -> DataFrame:
    """Give the frame that was sent, its columns and index as they were, and the features beside it.

    ``event_timestamp`` alone is the answer's: the instants as the server understood them, in UTC.
    """
    pandas = require("pandas", "a pandas frame")
    names = [str(name) for name in frame.columns]
    own = frame.copy()
    if EVENT_TIMESTAMP in names:
        stamps = to_pandas(answer.select([EVENT_TIMESTAMP]))[EVENT_TIMESTAMP]
        own.isetitem(names.index(EVENT_TIMESTAMP), stamps.array)
    features = to_pandas(answer.select([n for n in answer.column_names if n not in names]))
    return pandas.concat([own, features.set_axis(frame.index)], axis=1)
