# ruff: noqa: S608 - names go through identifier(), the rest are numbers
"""The stored events that windows may reach from now on, and the newest of each key. [pure]"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.instants import MICROSECOND, to_us
from lib.sql_text import identifier
from materialization.compute.stored_rows_sql import stored_rows
from materialization.stores.columns import CREATED, EVENT, SEQUENCE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import pyarrow as pa

    from registry.spec.version_spec import VersionSpec


def kept_events_sql(
    files: Sequence[str], spec: VersionSpec, schema: pa.Schema, as_of: datetime
) -> str:
    """Return events of ``schema``: those inside the longest window at ``as_of`` or later.

    Of older ones, which only tell that there is an entity, the newest that was in time of each key.
    """
    names = ", ".join(map(identifier, schema.names))
    keys = ", ".join(identifier(key.name) for key in spec.join_keys)
    longest = spec.view.longest_window // MICROSECOND
    since = f"make_timestamptz({to_us(as_of) - longest})"
    in_time = f"epoch_us(greatest({EVENT}, {CREATED})) < epoch_us({EVENT}) + {longest}"
    newest = f"row_number() OVER (PARTITION BY {keys} ORDER BY {EVENT} DESC, {SEQUENCE}) = 1"
    stored = f"SELECT {names} FROM {stored_rows(files)}"
    return (
        f"{stored} WHERE {EVENT} >= {since} UNION ALL "
        f"{stored} WHERE {EVENT} < {since} AND {in_time} QUALIFY {newest}"
    )
