"""The answer to a large online read, which came as Arrow: the same as JSON gives, made of columns.
Not for asking; see ``FeatureStore.get_online_features``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from assay.answers import Answer
from assay.errors import ServerError
from assay.extras import require
from assay.online import TIMESTAMP_POSTFIX, OnlineResponse
from assay.shapes import ArrowTable, Columns
from assay.tables import VALUE_TYPE, columns_of_table, with_one_json_text

#: From so many entity rows on Arrow is sooner read than JSON, where it is installed.
LEAST_ROWS = 1000


def read_stream(answer: Answer, *, warnings: Sequence[str]) -> OnlineResponse:
    """Read an answer that is an Arrow stream.

    :raises ServerError: it is none, or is damaged.
    """
    pa = require("pyarrow", "reading an Arrow answer")
    ipc = require("pyarrow.ipc", "reading an Arrow answer")
    try:
        table = ipc.open_stream(answer.body).read_all()
        return ArrowResponse(table, warnings=warnings)
    except (pa.ArrowException, KeyError, TypeError, ValueError) as exc:
        raise ServerError(f"the Arrow answer is damaged: {exc}", status=answer.status) from exc


class ArrowResponse(OnlineResponse):
    """An ``OnlineResponse`` of one Arrow table, as docs/http-api.md says its columns."""

    def __init__(self, table: ArrowTable, *, warnings: Sequence[str] = ()) -> None:
        self._table = with_one_json_text(table)
        said = json.loads(table.schema.metadata[b"assay"])
        kinds = [self._said(name, VALUE_TYPE) for name in said["feature_names"]]
        super().__init__(
            {"metadata": {**said, "value_types": kinds}, "results": []}, warnings=warnings
        )

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def to_dict(self, include_event_timestamps: bool = False) -> Columns:
        columns = columns_of_table(self._table.select(self.names))
        if not include_event_timestamps:
            return columns
        stamped: Columns = {}
        for name in self.names:
            stamped[name] = columns[name]
            stamped[name + TIMESTAMP_POSTFIX] = [
                None if at is None else int(at.timestamp() // 1) for at in self._instants(name)
            ]
        return stamped

    def to_arrow(self, include_event_timestamps: bool = False) -> ArrowTable:
        if include_event_timestamps:
            return super().to_arrow(include_event_timestamps)
        pa = require("pyarrow", "OnlineResponse.to_arrow")
        table = self._table.select(self.names)
        fields = [
            field.with_metadata({VALUE_TYPE: field.metadata[VALUE_TYPE]}) for field in table.schema
        ]
        return pa.table(table.columns, schema=pa.schema(fields))

    def statuses(self) -> dict[str, list[str]]:
        return {name: self._statuses(name) for name in self.names}

    def event_timestamps(self) -> dict[str, list[datetime | None]]:
        return {name: self._instants(name) for name in self.names}

    def _statuses(self, name: str) -> list[str]:
        beside = self._said(name, b"assay.status")
        if beside is not None:
            # Of a dictionary each value would be looked up by itself: fifty times slower.
            found: list[str] = self._table[beside].cast("string").to_pylist()
            return found
        nulls = self._table[name].is_null().to_pylist()
        return ["NULL_VALUE" if is_null else "PRESENT" for is_null in nulls]

    def _instants(self, name: str) -> list[datetime | None]:
        beside = self._said(name, b"assay.event_timestamp")
        if beside is None:
            return [None] * len(self)
        return columns_of_table(self._table.select([beside]))[beside]

    def _said(self, name: str, key: bytes) -> str | None:
        said: Any = (self._table.schema.field(name).metadata or {}).get(key)
        return None if said is None else str(said.decode())
