"""Values as the online store has them → JSON. [pure]

Not for values from Arrow or Python (``values``): the store already wrote numbers and text as JSON
wants them, so most columns pass as they are.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from serving.values import json_ready, json_text_ready, micros_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.spec.value_types import ValueType

_EPOCH_DAY = date(1970, 1, 1).toordinal()


def stored_to_json(value_type: ValueType) -> Callable[[Any], Any] | None:
    """Return the function that makes a stored value (not null) ready for JSON; None: it is."""
    if value_type.kind == "list" and value_type.item is not None:
        item = stored_to_json(value_type.item)
        return (
            None
            if item is None
            else lambda values: [None if v is None else item(v) for v in values]
        )
    return _CONVERT.get(value_type.kind)


def _date_text(days: int) -> str:
    return date.fromordinal(_EPOCH_DAY + days).isoformat()


_CONVERT: dict[str, Callable[[Any], Any]] = {
    "timestamp": micros_text,
    "date": _date_text,
    "bytes": json_ready,
    "json": json_text_ready,
}
