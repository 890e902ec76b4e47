"""Entity rows and entity frames, in each form people hold them, to what is sent.
Not for sending.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Number
from typing import Any, NamedTuple, cast

from assay.encoding import described, is_null, parse_instant
from assay.errors import Invalid
from assay.extras import OTHER_TYPES, has_arrow, require
from assay.shapes import Columns, EntityFrame, EntityRows, SentRows

EVENT_TIMESTAMP = "event_timestamp"


def sent_columns(rows: EntityFrame) -> Columns:
    """Turn rows in any form into columns, with None for NaT and NA.

    NaN is how a column of pandas spells what is missing, unless it has NA for that; elsewhere it is
    a number like others.
    """
    frame: Any = rows
    if _is_instance(frame, "pandas", "DataFrame"):
        columns, have_na = _unique(frame.items()), [_has_na(kind) for kind in frame.dtypes]
    elif _gives_arrow(frame):
        table = _from_arrow(frame)
        return _unique(zip(table.column_names, table.columns, strict=True))
    else:
        columns = columns_of(frame)
        have_na = [True] * len(columns)
    return {
        name: [None if (_is_no_number if has_na else is_null)(value) else value for value in values]
        for (name, values), has_na in zip(columns.items(), have_na, strict=True)
    }


def _has_na(dtype: Any) -> bool:
    """Tell whether a type of pandas has a value of its own for what is missing, as Arrow's have."""
    return type(getattr(dtype, "na_value", None)).__name__ == "NAType"


def sent_pieces(rows: SentRows, at_once: int) -> Iterator[Columns]:
    """Turn rows in any form into columns of ``at_once`` rows each time.

    What streams Arrow, as a ``RecordBatchReader``, is read as its rows are asked for.
    """
    if hasattr(rows, "__arrow_c_stream__") and not _is_instance(rows, "pandas", "DataFrame"):
        yield from batches_cut(_batches(rows), at_once)
        return
    columns = sent_columns(rows)
    count = len(next(iter(columns.values()), []))
    for start in range(0, count, at_once):
        yield {name: values[start : start + at_once] for name, values in columns.items()}


def batches_cut(batches: Iterable[Any], at_once: int) -> Iterator[Columns]:
    """Give as many rows each time, however many the record batches have."""
    pa = require("pyarrow", "sending Arrow")
    kept: list[Any] = []
    room = at_once
    for batch in batches:
        rest = batch
        while rest.num_rows:
            kept.append(rest.slice(0, room))
            rest, room = rest.slice(room), room - kept[-1].num_rows
            if not room:
                yield sent_columns(pa.Table.from_batches(kept))
                kept, room = [], at_once
    if kept:
        yield sent_columns(pa.Table.from_batches(kept))


def _is_no_number(value: Any) -> bool:
    return is_null(value) and not isinstance(value, Number)


def _unique(pairs: Iterable[tuple[Any, Any]]) -> Columns:
    columns: Columns = {}
    for name, values in pairs:
        if str(name) in columns:
            raise Invalid(f"the frame has two columns {name!r}; keep one", column=str(name))
        columns[str(name)] = values.to_pylist() if hasattr(values, "to_pylist") else list(values)
    return columns


def columns_of(rows: EntityRows) -> Columns:
    """Turn ``[{"id": 1}, {"id": 2}]`` or ``{"id": [1, 2]}`` into ``{"id": [1, 2]}``.

    :raises Invalid: there is no row, rows have unequal keys, or columns unequal lengths.
    """
    if isinstance(rows, Mapping):
        return _equal_columns(rows)
    if not isinstance(rows, list | tuple):
        if hasattr(rows, "collect"):  # polars' LazyFrame
            message = f"{described(rows)} has no rows yet; give what its collect() gives"
            raise Invalid(message)
        raise Invalid(
            f"entity rows are {described(rows)}; give a list of dicts, a dict of lists, "
            "a pandas or polars frame or an Arrow table"
        )
    if not rows:
        raise Invalid("there are no entity rows; give at least one, like [{'user_id': 1}]")
    for index, row in enumerate(rows):
        _check_row(index, row, rows[0])
    return {str(key): [row[key] for row in rows] for key in rows[0]}


def _equal_columns(columns: Mapping[str, Sequence[Any]]) -> Columns:
    for key, values in columns.items():
        if isinstance(values, str | bytes) or not hasattr(values, "__len__"):
            message = f"column {key!r} must be a list of values, not {described(values)}"
            raise Invalid(message, column=key)
    lengths = {key: len(values) for key, values in columns.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{key}: {length}" for key, length in lengths.items())
        raise Invalid(f"entity columns differ in length ({said})", lengths=lengths)
    return {key: list(values) for key, values in columns.items()}


def _check_row(index: int, row: Mapping[str, Any], first: Mapping[str, Any]) -> None:
    if not isinstance(row, Mapping):
        raise Invalid(f"entity row {index} is {described(row)}; give a dict like {{'user_id': 1}}")
    if row.keys() == first.keys():
        return
    missing, extra = sorted(first.keys() - row.keys()), sorted(row.keys() - first.keys())
    parts = [f"lacks {missing}"] * bool(missing) + [f"has also {extra}"] * bool(extra)
    raise Invalid(
        f"entity row {index} {' and '.join(parts)}, compared with row 0; "
        f"every row needs the keys {sorted(first)}",
        row=index,
        missing=missing,
        extra=extra,
    )


class SentFrame(NamedTuple):
    """An entity frame as it is sent: a ``pyarrow.Table``, or columns where pyarrow is missing.

    ``pandas`` is the caller's own frame, where it was one.
    """

    table: Any
    columns: Columns
    pandas: Any = None

    @property
    def rows(self) -> int:
        if self.table is not None:
            return int(self.table.num_rows)
        return len(next(iter(self.columns.values()), []))

    def changed_column(self, answer: Any) -> str | None:
        """Name a column that the answer (a ``pyarrow.Table``) repeats with other values."""
        for name, column in zip(self.table.column_names, self.table.columns, strict=True):
            if name == EVENT_TIMESTAMP:  # comes back as the server understood it
                continue
            if name not in answer.column_names or not _equal(column, answer[name]):
                return str(name)
        return None


def entity_frame(frame: EntityFrame) -> SentFrame:
    """Take an entity frame in any form: pandas, whatever gives Arrow, dicts and lists.

    :raises Invalid: the rows are uneven, or a column mixes types.
    :raises MissingExtra: a pandas or Arrow frame without pyarrow.
    """
    if _is_instance(frame, "pandas", "DataFrame"):
        own: Any = frame
        return SentFrame(_to_arrow(frame, "sending a pandas frame"), {}, own.copy())
    if _gives_arrow(frame):
        return SentFrame(_from_arrow(frame), {})
    columns = columns_of(cast("EntityRows", frame))
    if EVENT_TIMESTAMP in columns:
        columns[EVENT_TIMESTAMP] = _instants(columns[EVENT_TIMESTAMP])
    return SentFrame(_to_arrow(columns, "sending a frame") if has_arrow() else None, columns)


def _gives_arrow(frame: object) -> bool:
    """Tell whether a frame of whatever library (polars, DuckDB, Arrow itself) gives Arrow."""
    return hasattr(frame, "__arrow_c_stream__") or hasattr(frame, "__arrow_c_array__")


def _from_arrow(frame: object) -> Any:
    pa = require("pyarrow", f"sending {described(frame)}")
    with _told(frame, pa):
        return pa.table(frame)


def _batches(frame: object) -> Iterator[Any]:
    pa = require("pyarrow", f"sending {described(frame)}")
    with _told(frame, pa):
        reader = pa.RecordBatchReader.from_stream(frame)
    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        except (pa.ArrowException, OSError) as exc:
            said = str(exc).partition(". Detail: Python exception")[0]
            raise Invalid(f"{described(frame)} breaks off: {said}") from exc
        yield batch


@contextmanager
def _told(frame: object, pa: Any) -> Iterator[None]:
    """:raises Invalid: a column does not become Arrow."""
    try:
        yield
    except (pa.ArrowException, TypeError, ValueError) as exc:
        if name := _unread_column(frame, pa):
            message = f"column {name!r} of {described(frame)} cannot be sent: {exc}. {OTHER_TYPES}"
            raise Invalid(message, column=name) from exc
        raise Invalid(f"{described(frame)} is not a table of columns: {exc}") from exc


def _unread_column(frame: object, pa: Any) -> str | None:
    """Return the first column of a frame of columns that does not become Arrow by itself."""
    one: Any = frame
    for name in getattr(frame, "columns", ()):
        try:
            pa.table(one[[name]])
        except (pa.ArrowException, TypeError, ValueError):
            return str(name)
    return None


def _equal(sent: Any, received: Any) -> bool:
    """Compare a column; of types in which equal values need not be equal, the length alone."""
    kind = str(sent.type)
    if any(word in kind for word in ("float", "double", "dictionary", "extension", "run_end")):
        return len(sent) == len(received)
    return bool(sent.equals(received))


def _instants(values: list[Any]) -> list[Any]:
    try:
        return [None if is_null(value) else parse_instant(value) for value in values]
    except Invalid as exc:
        message = f"column {EVENT_TIMESTAMP!r}: {exc.message}"
        raise Invalid(message, **exc.data, column=EVENT_TIMESTAMP) from exc


def _is_instance(value: object, module: str, name: str) -> bool:
    """Check a class of an optional library; who holds an instance has it imported already."""
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(value, getattr(loaded, name))


def _to_arrow(frame: Any, purpose: str) -> Any:
    pa = require("pyarrow", purpose)
    try:
        if isinstance(frame, dict):
            return pa.table(frame)
        return pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as exc:
        raise Invalid(_refused_column(pa, frame) or f"the frame cannot be sent: {exc}") from exc


def _refused_column(pa: Any, frame: Any) -> str | None:
    """Say which column Arrow does not take; its own message names values and Python's innards."""
    for name, values in frame.items():
        try:
            pa.array(values, from_pandas=True)
        except (pa.ArrowException, OverflowError, TypeError, ValueError):
            kinds = sorted({type(value).__name__ for value in values if not is_null(value)})
            return (
                f"column {name!r} of the entity frame has mixed or unknown types "
                f"({', '.join(kinds)}) or a value out of range; give it values of one type"
            )
    return None
