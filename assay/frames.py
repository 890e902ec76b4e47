"""Entity rows and entity frames, in each form people hold them, to what is sent.
Not for sending.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from assay.encoding import parse_instant
from assay.errors import Invalid
from assay.extras import has_arrow, require
from assay.shapes import Columns, EntityFrame, EntityRows

EVENT_TIMESTAMP = "event_timestamp"


def columns_of(rows: EntityRows) -> Columns:
    """Turn ``[{"id": 1}, {"id": 2}]`` or ``{"id": [1, 2]}`` into ``{"id": [1, 2]}``.

    :raises Invalid: there is no row, rows have unequal keys, or columns unequal lengths.
    """
    if isinstance(rows, Mapping):
        return _equal_columns(rows)
    if not isinstance(rows, list | tuple):
        raise Invalid(f"entity rows are a list of dicts or a dict of lists, not {rows!r}")
    if not rows:
        raise Invalid("there are no entity rows; give at least one, like [{'user_id': 1}]")
    for index, row in enumerate(rows):
        _check_row(index, row, rows[0])
    return {str(key): [row[key] for row in rows] for key in rows[0]}


def _equal_columns(columns: Mapping[str, Sequence[Any]]) -> Columns:
    for key, values in columns.items():
        if isinstance(values, str | bytes) or not hasattr(values, "__len__"):
            raise Invalid(f"column {key!r} must be a list of values, not {values!r}", column=key)
    lengths = {key: len(values) for key, values in columns.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{key}: {length}" for key, length in lengths.items())
        raise Invalid(f"entity columns differ in length ({said})", lengths=lengths)
    return {key: list(values) for key, values in columns.items()}


def _check_row(index: int, row: Mapping[str, Any], first: Mapping[str, Any]) -> None:
    if not isinstance(row, Mapping):
        raise Invalid(f"entity row {index} is {row!r}; give a dict like {{'user_id': 1}}")
    missing, extra = sorted(first.keys() - row.keys()), sorted(row.keys() - first.keys())
    if missing or extra:
        parts = [f"lacks {missing}"] * bool(missing) + [f"has also {extra}"] * bool(extra)
        raise Invalid(
            f"entity row {index} {' and '.join(parts)}, compared with row 0; "
            f"every row needs the keys {sorted(first)}",
            row=index,
            missing=missing,
            extra=extra,
        )


def arrow_or_columns(frame: EntityFrame) -> Any:
    """Give an entity frame as a ``pyarrow.Table``, or as columns where pyarrow is not installed.

    :raises Invalid: the rows are uneven, or a column mixes types.
    :raises MissingExtra: a pandas frame without pyarrow.
    """
    if _is_instance(frame, "pyarrow", "Table"):
        return frame
    if _is_instance(frame, "pandas", "DataFrame"):
        return _to_arrow(frame, "sending a pandas frame")
    columns = columns_of(frame)
    if EVENT_TIMESTAMP in columns:
        columns[EVENT_TIMESTAMP] = [
            value if value is None else parse_instant(value) for value in columns[EVENT_TIMESTAMP]
        ]
    return _to_arrow(columns, "sending a frame") if has_arrow() else columns


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
        raise Invalid(f"the entity frame has a column of mixed or unknown type: {exc}") from exc
