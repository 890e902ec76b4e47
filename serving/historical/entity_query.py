"""An entity frame by a query on a source: what a request may say of it. [pure]

Not for running it (``queried_frame``).
"""

from __future__ import annotations

import msgspec


class EntityQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``sql`` is one SELECT over ``source``: projection, filter and scalar functions.

    It gives the join keys, ``event_timestamp`` and what else the frame is to have.
    """

    source: str
    sql: str
