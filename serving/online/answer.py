"""Online answers on the wire: Feast's JSON to the letter, or an Arrow stream. [pure]

Not for what the answer is (``read``) nor for Arrow's columns (``arrow``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from lib.media_types import ARROW, JSON
from registry.spec.value_types import parse_type
from serving.online.arrow import answer_stream
from serving.online.rows import FEW

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from registry.spec.value_types import ValueType
    from serving.online.read import OnlineAnswer
    from serving.online.rows import AnswerColumn

#: What an answer may be asked for as, by ``Accept``.
FORMS = (JSON, ARROW)

_encode = msgspec.json.Encoder().encode


def written(answer: OnlineAnswer, form: str, *, int64_as_text: bool = False) -> bytes:
    """Write an answer as one of ``FORMS``; its columns are as stored for Arrow, else for JSON."""
    if form == ARROW:
        return answer_stream(answer)
    return answer_json(answer, int64_as_text=int64_as_text)


def answer_json(answer: OnlineAnswer, *, int64_as_text: bool = False) -> bytes:
    """Return ``{"metadata": {…}, "results": [{"values", "statuses", "event_timestamps"}, …]}``."""
    metadata: dict[str, Any] = {"feature_names": answer.names, "value_types": answer.types}
    if answer.feature_views is not None:
        metadata["feature_view_metadata"] = answer.feature_views
    if answer.plan.deprecation.versions:
        metadata["deprecated"] = answer.plan.deprecation.versions
    columns = answer.columns
    if int64_as_text:
        columns = [_exact(*each) for each in zip(columns, answer.types, strict=True)]
    results = columns if len(columns[0].values) < FEW else _sharing(columns)
    return _encode({"metadata": metadata, "results": results})


def _sharing(columns: Sequence[AnswerColumn]) -> list[dict[str, Any]]:
    """Return columns of which each list of statuses or of times is written once.

    Columns of a table have the same lists mostly, which are more text than their values.
    """
    texts: dict[int, msgspec.Raw] = {}

    def once(shared: Sequence[str]) -> msgspec.Raw:
        text = texts.get(id(shared))
        if text is None:
            text = texts[id(shared)] = msgspec.Raw(_encode(shared))
        return text

    return [
        {
            "values": column.values,
            "statuses": once(column.statuses),
            "event_timestamps": once(column.event_timestamps),
        }
        for column in columns
    ]


def _exact(column: AnswerColumn, kind: str) -> AnswerColumn:
    """Return a column with its int64 as text, those in lists too; others as they are."""
    if (write := _digits(parse_type(kind))) is None:
        return column
    values = [None if value is None else write(value) for value in column.values]
    return msgspec.structs.replace(column, values=values)


def _digits(kind: ValueType) -> Callable[[Any], Any] | None:
    if kind.kind == "list" and kind.item is not None:
        item = _digits(kind.item)
        return item and (lambda values: [None if v is None else item(v) for v in values])
    return str if kind.kind == "int64" else None
