"""A training set whose frame is a query on a data source of the server.
Not for frames that are sent; see frames.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from assay.errors import Invalid
from assay.shapes import JSON

_FROM = re.compile(r'\bfrom\s+(?:"([^"]+)"|([a-z_]\w*))', re.IGNORECASE)


@dataclass(frozen=True)
class EntityQuery:
    """The rows of one SELECT over a registered source, in place of a frame.

    ``EntityQuery("orders", "SELECT user_id, ordered_at AS event_timestamp, label FROM orders")``:
    the join keys, ``event_timestamp``, and what else the training set is to have.
    """

    source: str
    sql: str
    key: ClassVar[str] = "entity_query"

    @classmethod
    def of(cls, sql: str) -> EntityQuery:
        """Make one of a SELECT, over the source that it names.

        :raises Invalid: it names none.
        """
        found = _FROM.search(sql)
        if found is None:
            raise Invalid(
                f"{sql[:100]!r} names no data source to read FROM; give a frame, or an EntityQuery"
            )
        return cls(found[1] or found[2], sql)

    def sent(self) -> JSON:
        """Give it as a request says it."""
        return {"source": self.source, "sql": self.sql}
