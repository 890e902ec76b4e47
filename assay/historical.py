"""The answer to a point-in-time question, in the forms people use.
Not for asking; see ``FeatureStore.get_historical_features``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from assay.encoding import decode_column, parse_instant
from assay.errors import ServerError
from assay.extras import require
from assay.frames import EVENT_TIMESTAMP
from assay.shapes import JSON, ArrowTable, Columns, DataFrame
from assay.transport import Answer

ARROW_STREAM = "application/vnd.apache.arrow.stream"
WARNINGS_HEADER = "Assay-Warnings"
EXPLAIN_HEADER = "Assay-Explain"


class RetrievalJob:
    """A training set: the entity frame's columns, then the features, one row an entity row.

    The answer has arrived when this object exists. Over Arrow every column keeps its type; over
    JSON (no pyarrow) only ``event_timestamp`` is parsed, other instants stay RFC 3339 text.
    """

    def __init__(self, answer: Answer, *, rows: int) -> None:
        """Read the answer to a question about ``rows`` entity rows.

        :raises ServerError: it is not that frame, whole.
        """
        self._table: Any = None
        self._columns: Columns = {}
        self.metadata: JSON = {}
        if answer.status != 200:
            # 202 announces a job; a frame that never comes must not look like an empty one.
            message = f"the server answered {answer.status} instead of a frame; ask for fewer rows"
            raise ServerError(message, status=answer.status)
        if answer.content_type == ARROW_STREAM:
            self._read_arrow(answer)
        else:
            self._read_json(answer.json())
        self._check_rows(rows)

    def __len__(self) -> int:
        if self._table is not None:
            return int(self._table.num_rows)
        return len(next(iter(self._columns.values()), []))

    @property
    def explain(self) -> list[JSON]:
        """With ``explain=True``: for each view, on how many rows the two timings differ."""
        return list(self.metadata.get("explain") or [])

    @property
    def warnings(self) -> list[str]:
        """What the server thinks you should know, such as a view that matched few rows."""
        return list(self.metadata.get("warnings") or [])

    def to_arrow(self) -> ArrowTable:
        """Give the frame as a ``pyarrow.Table``. Needs the extra ``assay[pandas]``."""
        if self._table is None:
            self._table = require("pyarrow", "RetrievalJob.to_arrow").table(self._columns)
        return self._table

    def to_df(self) -> DataFrame:
        """Give the frame as a pandas frame. Needs the extra ``assay[pandas]``."""
        require("pandas", "RetrievalJob.to_df")
        return self.to_arrow().to_pandas()

    def to_dict(self) -> Columns:
        """Give ``{column: [values]}``."""
        if self._table is None:
            return dict(self._columns)
        columns: Columns = self._table.to_pydict()
        return columns

    def _read_arrow(self, answer: Answer) -> None:
        pa = require("pyarrow", "reading an Arrow answer")
        ipc = require("pyarrow.ipc", "reading an Arrow answer")
        try:
            self._table = ipc.open_stream(answer.body).read_all()
        except pa.ArrowException as exc:
            raise ServerError(f"the Arrow answer is damaged: {exc}") from exc
        self.metadata = {
            "feature_names": self._table.column_names,
            "warnings": read_header(answer.headers, WARNINGS_HEADER),
            "explain": read_header(answer.headers, EXPLAIN_HEADER),
        }

    def _check_rows(self, rows: int) -> None:
        # An Arrow stream may end after any batch, so one that broke off reads as a shorter frame.
        if len(self) != rows:
            message = f"the answer has {len(self)} rows for {rows} entity rows; it broke off"
            raise ServerError(message, status=200)

    def _read_json(self, answer: JSON) -> None:
        self.metadata = answer["metadata"]
        pairs = zip(self.metadata["feature_names"], answer["results"], strict=True)
        self._columns = {name: decode_column(result["values"]) for name, result in pairs}
        if EVENT_TIMESTAMP in self._columns:
            stamps = self._columns[EVENT_TIMESTAMP]
            self._columns[EVENT_TIMESTAMP] = [at and parse_instant(at) for at in stamps]


def read_header(headers: Mapping[str, str], name: str) -> list[Any]:
    """Read a header that carries a JSON list beside a body that has no place for it."""
    found: list[Any] = json.loads(headers.get(name) or "[]")
    return found
