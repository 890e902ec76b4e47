"""The answer to a point-in-time question, in the forms people use.
Not for asking; see ``FeatureStore.get_historical_features``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from assay import notebooks
from assay.answers import Answer
from assay.errors import ServerError, another_question
from assay.extras import require
from assay.frames import EVENT_TIMESTAMP, SentFrame
from assay.shapes import JSON, ArrowTable, Columns, DataFrame, PolarsFrame
from assay.tables import (
    beside,
    columns_of_table,
    table_of,
    to_pandas,
    to_polars,
    with_one_json_text,
)
from assay.value_types import decode_values

ARROW_STREAM = "application/vnd.apache.arrow.stream"
WARNINGS_HEADER = "Assay-Warnings"
EXPLAIN_HEADER = "Assay-Explain"
NEXT_HEADER = "Assay-Next"


class RetrievalJob:
    """A training set: the entity frame's columns, then the features, one row an entity row.

    Of all entities the columns of the frame are their keys and ``event_timestamp``.

    The answer has arrived when this object exists. Values are what their declared types say, the
    same as an online answer gives: docs/http-api.md has the Python type of each.
    """

    def __init__(self, answer: Answer, *, frame: SentFrame | None) -> None:
        """Read the answer to a question about ``frame``, None for one about all entities.

        :raises ServerError: it is not that frame, whole.
        """
        self._sent = frame
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
        self._check_rows()
        self._check_columns()

    @classmethod
    def of_table(
        cls, table: ArrowTable, metadata: JSON, *, frame: SentFrame | None
    ) -> RetrievalJob:
        """Make one of rows that arrived as a file.

        :raises ServerError: they are not as many as the frame has.
        """
        made = cls.__new__(cls)
        made._sent, made._columns, made._table = frame, {}, with_one_json_text(table)
        made.metadata = {"feature_names": table.column_names, **metadata}
        made._check_rows()
        return made

    def _repr_html_(self) -> str:
        columns = self._columns
        if self._table is not None:
            columns = columns_of_table(self._table.slice(0, notebooks.MOST_ROWS))
        return notebooks.table_of_columns(columns, of=len(self))

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

    @property
    def next(self) -> JSON | None:
        """Where an answer about all entities goes on (``AllEntities.after``); None: it is whole."""
        found: JSON | None = self.metadata.get("next")
        return found

    def to_arrow(self) -> ArrowTable:
        """Give the frame as a ``pyarrow.Table``. Needs the extra ``assay[pandas]``."""
        if self._table is None:
            kinds = dict(zip(self.metadata["feature_names"], self._kinds(), strict=True))
            self._table = table_of(self._columns, kinds, "RetrievalJob.to_arrow")
        return self._table

    def to_df(self) -> DataFrame:
        """Give the frame as a pandas frame. Needs the extra ``assay[pandas]``.

        Columns and index of a pandas frame that was asked about are as they were, but for
        ``event_timestamp``, which is in UTC. Integers stay integers where others are null.
        """
        require("pandas", "RetrievalJob.to_df")
        table = self.to_arrow()
        sent = None if self._sent is None else self._sent.pandas
        return to_pandas(table) if sent is None else beside(sent, table)

    def to_polars(self) -> PolarsFrame:
        """Give the frame as a polars frame. Needs the extra ``assay[polars]``."""
        require("polars", "RetrievalJob.to_polars")
        return to_polars(self.to_arrow())

    def to_dict(self) -> Columns:
        """Give ``{column: [values]}``."""
        return dict(self._columns) if self._table is None else columns_of_table(self._table)

    def _read_arrow(self, answer: Answer) -> None:
        pa = require("pyarrow", "reading an Arrow answer")
        ipc = require("pyarrow.ipc", "reading an Arrow answer")
        try:
            self._table = with_one_json_text(ipc.open_stream(answer.body).read_all())
        except pa.ArrowException as exc:
            raise ServerError(f"the Arrow answer is damaged: {exc}") from exc
        self.metadata = {
            "feature_names": self._table.column_names,
            "warnings": read_header(answer.headers, WARNINGS_HEADER),
            "explain": read_header(answer.headers, EXPLAIN_HEADER),
            "next": next_of(answer.headers),
        }

    def _check_rows(self) -> None:
        if self._sent is None:
            return
        # An Arrow stream may end after any batch, so one that broke off reads as a shorter frame.
        if len(self) != self._sent.rows:
            message = f"the answer has {len(self)} rows for {self._sent.rows} entity rows; "
            raise ServerError(message + "it broke off", status=200)

    def _check_columns(self) -> None:
        if self._sent is None or self._table is None:
            return
        if name := self._sent.changed_column(self._table):
            raise another_question(name)

    def _read_json(self, answer: JSON) -> None:
        self.metadata = answer["metadata"]
        names, results = self.metadata["feature_names"], answer["results"]
        for name, kind, result in zip(names, self._kinds(), results, strict=True):
            # The caller's own columns need no way back: JSON would not carry all of their types.
            sent = {} if self._sent is None else self._sent.columns
            own = None if name == EVENT_TIMESTAMP else sent.get(name)
            self._columns[name] = decode_values(result["values"], kind) if own is None else own

    def _kinds(self) -> list[str | None]:
        names = self.metadata["feature_names"]
        kinds = self.metadata.get("value_types") or [None] * len(names)
        return [
            "timestamp" if n == EVENT_TIMESTAMP else k for n, k in zip(names, kinds, strict=True)
        ]


def read_header(headers: Mapping[str, str], name: str) -> list[Any]:
    """Read a header that carries a JSON list beside a body that has no place for it."""
    found: list[Any] = json.loads(headers.get(name) or "[]")
    return found


def next_of(headers: Mapping[str, str]) -> JSON | None:
    """Read where an answer goes on."""
    found: JSON | None = json.loads(headers.get(NEXT_HEADER) or "null")
    return found
