"""Sources that are rows of JSON which an HTTP server gives. [pure]"""

from __future__ import annotations

from typing import Literal

import msgspec

from registry.spec.paging import Paging
from registry.spec.sources.base import ConnectedSource

#: How a parameter says an instant: whole seconds with a zone, a day, or a count since 1970.
InstantForm = Literal["iso", "date", "s", "ms"]


class HttpSource(ConnectedSource, frozen=True, kw_only=True, tag="http"):
    """Rows of JSON that an HTTP server gives, in one answer or page by page.

    ``schema`` declares the columns that are read and their types: no row is asked for either.
    ``{since}`` and ``{until}`` in ``parameters`` are the instants between which a run reads.
    """

    example = {
        "connection": "shop",
        "path": "orders",
        "schema": {"order_id": "int64", "paid_at": "timestamp"},
    }

    #: Relative to where the connection leads; no template.
    path: str
    #: Column → value type.
    schema: dict[str, str]
    #: Columns that no row may have, for rows leave out what they have no value for.
    optional: tuple[str, ...] = ()
    parameters: dict[str, str | int | bool] = {}
    #: Which of a row's times ``{since}`` and ``{until}`` ask about, and how they are written.
    asks_by: Literal["event_timestamp", "created_timestamp"] = "event_timestamp"
    instants: InstantForm = "iso"
    #: Where an answer has the array of rows, as in ``data.orders``; empty: it is that array.
    rows: str = ""
    paging: Paging | None = None

    @property
    def is_windowed(self) -> bool:
        return any(word in str(each) for each in self.parameters.values() for word in TEMPLATES)

    def where(self) -> str:
        return f"{self.connection}: {self.path}"

    def path_within(self) -> str:
        """Any: a server may give the same rows at several addresses, so none tells them apart."""
        return "**"

    def as_written(self) -> str:
        """Return the parameters as well: they may choose what is answered altogether."""
        said = self.path, self.rows, self.parameters
        return msgspec.json.encode(said, order="sorted").decode()


#: What parameters of an HTTP source may name.
TEMPLATES = ("{since}", "{until}")
