"""Online answers as an Arrow stream: typed columns, statuses as dictionaries, event times once.

[pure] Not for JSON (``answer``). Beside each feature there is ``NAME:status``, and for each version
that was read ``VIEW@VERSION:event_timestamp``, for each computed feature
``VIEW@VERSION:FEATURE:event_timestamp``; a name with a colon is no feature's. A feature's
field says in its metadata which of them are its own, and its declared type.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.ipc

from materialization.stores.packing import unpacker
from registry.spec.value_types import parse_type
from serving.online.rows import NOT_FOUND, NULL_VALUE, OUTSIDE_MAX_AGE, PRESENT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.spec.value_types import ValueType
    from serving.online.read import OnlineAnswer
    from serving.online.rows import AnswerColumn

STATUSES = (PRESENT, NULL_VALUE, NOT_FOUND, OUTSIDE_MAX_AGE)
_PLACES = {status: place for place, status in enumerate(STATUSES)}
_NAMES = pa.array(STATUSES)
_INSTANT = pa.timestamp("us", "UTC")
_FLOATS = ("float32", "float64")
#: Kinds that are stored as a whole number and are one in Arrow too: kind → its width there.
_NUMBERED = {"timestamp": pa.int64(), "date": pa.int32()}


def answer_stream(answer: OnlineAnswer) -> bytes:
    """Return an answer whose columns are as they are stored as one Arrow stream."""
    columns: dict[str, tuple[pa.Field, pa.Array]] = {}
    beside: dict[str, tuple[pa.Field, pa.Array]] = {}
    plan = answer.plan
    sources = [column.timed_by for column in plan.columns]
    keys = [None] * (len(answer.names) - len(sources))
    for name, kind, column, source in zip(
        answer.names, answer.types, answer.columns, [*keys, *sources], strict=True
    ):
        said = {"assay.value_type": kind}
        if source is not None:
            said |= {"assay.status": f"{name}:status"}
            said |= {"assay.event_timestamp": (stamps := f"{source}:event_timestamp")}
            beside[f"{name}:status"] = _status_column(f"{name}:status", column)
            if stamps not in beside:
                events = pa.array(column.event_timestamps, pa.int64()).cast(_INSTANT)
                beside[stamps] = pa.field(stamps, _INSTANT), events
        array = _values(column.values, parse_type(kind), is_key=source is None)
        columns[name] = pa.field(name, array.type, metadata=said), array
    fields, arrays = zip(*(columns | beside).values(), strict=True)
    schema = pa.schema(list(fields), metadata=_metadata(answer))
    sink = BytesIO()
    with pa.ipc.new_stream(sink, schema) as stream:
        stream.write_batch(pa.record_batch(list(arrays), schema=schema))
    return sink.getvalue()


def _status_column(name: str, column: AnswerColumn) -> tuple[pa.Field, pa.Array]:
    count = len(column.statuses)
    if column.statuses.count(PRESENT) == count:
        places = bytes(count)
    else:
        places = bytes(map(_PLACES.__getitem__, column.statuses))
    indices = pa.Array.from_buffers(pa.int8(), count, [None, pa.py_buffer(places)])
    array = pa.DictionaryArray.from_arrays(indices, _NAMES)
    return pa.field(name, array.type, nullable=False), array


def _values(stored: Sequence[Any], kind: ValueType, *, is_key: bool) -> pa.Array:
    """Return stored values, or join keys as Python has them, as the declared type's array."""
    if is_key:
        return pa.array(stored, kind.arrow)
    if kind.kind in _NUMBERED:
        return pa.array(stored, _NUMBERED[kind.kind]).cast(kind.arrow)
    convert = unpacker(kind)
    if kind.kind in _FLOATS and str not in set(map(type, stored)):
        convert = None  # text is how NaN and infinities are stored
    if convert is not None:
        stored = [None if value is None else convert(value) for value in stored]
    return pa.array(stored, kind.arrow)


def _metadata(answer: OnlineAnswer) -> dict[str, bytes]:
    """Return what stands in ``metadata`` of the JSON answer beside names and types, as JSON."""
    said: dict[str, Any] = {"feature_names": answer.names}
    if answer.feature_views is not None:
        said["feature_view_metadata"] = answer.feature_views
    return {"assay": msgspec.json.encode(said)}
