"""The answer to an online read, in the forms people use.
Not for asking; see ``FeatureStore.get_online_features``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from assay.encoding import decode_column, parse_instant
from assay.extras import require
from assay.shapes import JSON, Columns, DataFrame

TIMESTAMP_POSTFIX = "__ts"


class OnlineResponse:
    """Values, statuses and event times, one column a name: join keys first, then the features.

    Each column is as long as the entity rows that were asked for, in their order. Instants and
    bytes are as JSON carries them: RFC 3339 text and base64.
    """

    def __init__(self, answer: JSON, *, warnings: Sequence[str] = ()) -> None:
        self.metadata: JSON = answer["metadata"]
        #: What the server thinks you should know, such as a version that is deprecated.
        self.warnings: list[str] = list(warnings)
        self.names: list[str] = list(self.metadata["feature_names"])
        self._results: list[JSON] = answer["results"]

    def __repr__(self) -> str:
        return f"OnlineResponse({', '.join(self.names)}; {len(self)} rows)"

    def __len__(self) -> int:
        return len(self._results[0]["values"]) if self._results else 0

    def to_dict(self, include_event_timestamps: bool = False) -> Columns:
        """Give ``{name: [values]}``; a value is None for every status other than PRESENT.

        With event timestamps, each name is followed by ``name__ts`` in whole epoch seconds.
        """
        columns: Columns = {}
        for name, result in zip(self.names, self._results, strict=True):
            columns[name] = decode_column(result["values"])
            if include_event_timestamps:
                columns[name + TIMESTAMP_POSTFIX] = _seconds(result["event_timestamps"])
        return columns

    def to_df(self, include_event_timestamps: bool = False) -> DataFrame:
        """Give :meth:`to_dict` as a frame. Needs the extra ``assay[pandas]``.

        The answer carries no types, so columns are what pandas makes of JSON: decimals, dates and
        instants are text, a column of nulls is ``object``. Cast them; docs/recipes.md has how.
        """
        pandas = require("pandas", "OnlineResponse.to_df")
        return pandas.DataFrame(self.to_dict(include_event_timestamps))

    def statuses(self) -> dict[str, list[str]]:
        """Give ``{name: [PRESENT | NULL_VALUE | NOT_FOUND | OUTSIDE_MAX_AGE]}``."""
        return {n: r["statuses"] for n, r in zip(self.names, self._results, strict=True)}

    def event_timestamps(self) -> dict[str, list[datetime | None]]:
        """Give ``{name: [instant]}``, aware and in UTC; None where there is no row."""
        pairs = zip(self.names, self._results, strict=True)
        return {name: [_instant(ts) for ts in result["event_timestamps"]] for name, result in pairs}


def _instant(value: Any) -> datetime | None:
    return parse_instant(value) if value else None


def _seconds(stamps: list[Any]) -> list[int | None]:
    instants = [_instant(stamp) for stamp in stamps]
    # Floor division, not int(): before 1970 truncation would round towards the future.
    return [int(at.timestamp() // 1) if at else None for at in instants]
