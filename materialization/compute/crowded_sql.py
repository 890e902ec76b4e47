# ruff: noqa: S608 - names are quoted by sql_text, the rest are numbers
"""Which entities may have more events in a hop than it takes online. [pure]

Not for how much they take to the byte: whoever packs events knows that (``event_merging``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.instants import MICROSECOND
from lib.sql_text import instant
from materialization.compute.stored_rows_sql import stored_rows
from materialization.stores.columns import EVENT, SEQUENCE, keys_sql
from materialization.transforms.windows.arguments import window_arguments

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from registry.spec.version_spec import VersionSpec

#: Bytes of an event at most, its arguments aside; of a number, infinite ones too, and of a decimal.
_AROUND, _NUMBER, _DECIMAL = 80, 10, 50
#: Before a text.
_LENGTH = 5


def crowded_sql(
    files: Sequence[str],
    spec: VersionSpec,
    *,
    hop: timedelta,
    since: datetime,
    most: int,
    sequence: int | None,
) -> str:
    """Return the join keys of entities with a hop whose events from ``since`` on may take more.

    No others do: sizes are the greatest that there may be. ``sequence``: only hops to which that
    run has added something.
    """
    keys = keys_sql(spec)
    fixed, texts = _AROUND, []
    for each in window_arguments(spec).arguments:
        kind = each.type.kind
        if kind in ("string", "bytes"):
            fixed += _LENGTH
            measure = "strlen" if kind == "string" else "octet_length"
            texts.append(f"coalesce({measure}({each.name}), 0)")
        else:
            fixed += _DECIMAL if kind == "decimal" else _NUMBER
    size = " + ".join([str(fixed), *texts])
    added = "" if sequence is None else f" AND bool_or({SEQUENCE} = {sequence:d})"
    return (
        f"SELECT DISTINCT {keys} FROM (SELECT {keys} FROM {stored_rows(files)} "
        f"WHERE {EVENT} >= {instant(since)} "
        f"GROUP BY {keys}, epoch_us({EVENT}) // {hop // MICROSECOND:d} "
        f"HAVING sum({size}) > {most:d}{added})"
    )
