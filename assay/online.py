"""The answer to an online read, in the forms people use.
Not for asking; see ``FeatureStore.get_online_features``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from assay import notebooks
from assay.encoding import parse_instant
from assay.errors import another_question
from assay.extras import require
from assay.shapes import JSON, ArrowTable, Columns, DataFrame, PolarsFrame
from assay.tables import table_of, to_pandas, to_polars
from assay.value_types import are_equal, decode_values, understood

TIMESTAMP_POSTFIX = "__ts"
#: What Feast's answer, and so ours, says for "no instant"; a real one has its microseconds.
NO_INSTANT = "1970-01-01T00:00:00Z"


class OnlineResponse:
    """Values, statuses and event times, one column a name: join keys first, then the features.

    Each column is as long as the entity rows that were asked for, in their order. Values are what
    their declared types say, the same as a training set gives.
    """

    def __init__(self, answer: JSON, *, warnings: Sequence[str] = ()) -> None:
        self.metadata: JSON = answer["metadata"]
        #: What the server thinks you should know, such as a version that is deprecated.
        self.warnings: list[str] = list(warnings)
        self.names: list[str] = list(self.metadata["feature_names"])
        kinds = self.metadata.get("value_types") or [None] * len(self.names)
        #: ``{name: declared type}``, as in ``decimal(10,2)``.
        self.value_types: dict[str, str | None] = dict(zip(self.names, kinds, strict=True))
        self._results: list[JSON] = answer["results"]

    def __repr__(self) -> str:
        return f"OnlineResponse({', '.join(self.names)}; {len(self)} rows)"

    def _repr_html_(self) -> str:
        statuses = self.statuses()
        columns = {
            name: [
                notebooks.Absent(status) if value is None else value
                for value, status in zip(
                    values[: notebooks.MOST_ROWS], statuses[name], strict=False
                )
            ]
            for name, values in self.to_dict().items()
        }
        return notebooks.table_of_columns(columns, of=len(self))

    def __len__(self) -> int:
        return len(self._results[0]["values"]) if self._results else 0

    def to_dict(self, include_event_timestamps: bool = False) -> Columns:
        """Give ``{name: [values]}``; a value is None for every status other than PRESENT.

        With event timestamps, each name is followed by ``name__ts`` in whole epoch seconds, None
        where there is no row and for join keys.
        """
        columns: Columns = {}
        for name, result in zip(self.names, self._results, strict=True):
            columns[name] = decode_values(result["values"], self.value_types[name])
            if include_event_timestamps:
                columns[name + TIMESTAMP_POSTFIX] = _seconds(result["event_timestamps"])
        return columns

    def to_arrow(self, include_event_timestamps: bool = False) -> ArrowTable:
        """Give :meth:`to_dict` as a ``pyarrow.Table``. Needs the extra ``assay[pandas]``."""
        stamps = dict.fromkeys((name + TIMESTAMP_POSTFIX for name in self.names), "int64")
        columns = self.to_dict(include_event_timestamps)
        return table_of(columns, {**stamps, **self.value_types}, "OnlineResponse.to_arrow")

    def to_df(self, include_event_timestamps: bool = False) -> DataFrame:
        """Give :meth:`to_arrow` as a frame of the same types a training set has."""
        require("pandas", "OnlineResponse.to_df")
        return to_pandas(self.to_arrow(include_event_timestamps))

    def to_polars(self, include_event_timestamps: bool = False) -> PolarsFrame:
        """Give :meth:`to_arrow` as a polars frame. Needs the extra ``assay[polars]``."""
        require("polars", "OnlineResponse.to_polars")
        return to_polars(self.to_arrow(include_event_timestamps))

    def check_keys(self, asked: Columns) -> None:
        """Return if the keys and request values in the answer are those that were asked about.

        :raises ServerError: naming the first column that is not.
        """
        if len(self) != max(map(len, asked.values()), default=0):
            raise another_question(next(iter(asked)))
        found = self.to_dict()
        for name, values in asked.items():
            kind = self.value_types.get(name)
            if kind and not are_equal(found.get(name), understood(values, kind)):
                raise another_question(name)

    def statuses(self) -> dict[str, list[str]]:
        """Give ``{name: [PRESENT | NULL_VALUE | NOT_FOUND | OUTSIDE_MAX_AGE]}``."""
        return {n: r["statuses"] for n, r in zip(self.names, self._results, strict=True)}

    def event_timestamps(self) -> dict[str, list[datetime | None]]:
        """Give ``{name: [instant]}``, aware and in UTC; None where there is no row.

        Join keys are no rows, so theirs are None too.
        """
        pairs = zip(self.names, self._results, strict=True)
        return {name: [_instant(ts) for ts in result["event_timestamps"]] for name, result in pairs}


def _instant(value: Any) -> datetime | None:
    return parse_instant(value) if value and value != NO_INSTANT else None


def _seconds(stamps: list[Any]) -> list[int | None]:
    instants = [_instant(stamp) for stamp in stamps]
    # Floor division, not int(): before 1970 truncation would round towards the future.
    return [int(at.timestamp() // 1) if at else None for at in instants]
