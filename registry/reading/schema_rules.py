"""What a schema that a source declares must satisfy: columns, and the times among them. [pure]"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.errors import did_you_mean
from registry.reading.findings import error_of
from registry.spec.value_types import parse_type

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.reading.findings import Found
    from registry.spec.sources.arriving import ArrivingSource
    from registry.spec.sources.http import HttpSource

MAX_COLUMNS, MAX_NAME = 2_000, 200


def schema_problems(spec: HttpSource | ArrivingSource) -> Iterator[Found]:
    if not spec.schema or len(spec.schema) > MAX_COLUMNS:
        yield (
            ("schema",),
            f"{len(spec.schema)} columns; declare those that views read, at most {MAX_COLUMNS}, as"
            " in {order_id: int64, paid_at: timestamp}.",
        )
        return
    for name, kind in spec.schema.items():
        if not name.strip() or not name.isprintable() or len(name) > MAX_NAME or name[:2] == "__":
            message = f"{name[:100]!r}: a column's name is text of at most {MAX_NAME} characters"
            yield ("schema",), f"{message} that does not begin with __."
        if error := error_of(parse_type, kind):
            yield ("schema", name), error
    folded: dict[str, str] = {}
    for name in spec.schema:
        if (other := folded.setdefault(name.lower(), name)) != name:
            yield ("schema", name), f"{other!r} differs from it in case alone; declare one of them."
    for key in ("event_timestamp", "created_timestamp"):
        column = getattr(spec, key)
        if column is not None and column.column not in spec.schema:
            hint = did_you_mean(column.column, sorted(spec.schema))
            yield (key,), f"the schema has no column {column.column[:100]!r}.{hint}"
    for name in spec.optional:
        if name not in spec.schema:
            hint = did_you_mean(name, sorted(spec.schema))
            yield ("optional",), f"the schema has no column {name[:100]!r}.{hint}"
