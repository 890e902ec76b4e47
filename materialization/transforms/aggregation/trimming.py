# ruff: noqa: S608 - casts quote the names of columns
"""Sources that lost their beginning, which a window without a bound still counts.

Not for recomputing ticks of one (``correcting``): bounded windows are whole again in time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.instants import from_us
from materialization.errors import SourceTrimmed
from materialization.transforms.base import base_casts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    import duckdb

    from materialization.compute.jobs import ComputeJob


def refuse_trimmed(
    connection: duckdb.DuckDBPyConnection,
    job: ComputeJob,
    first: datetime | None,
    columns: Mapping[str, str],
    relation: str,
) -> None:
    """Stop where unbounded windows would silently become those of what is left of the source.

    :raises SourceTrimmed: it begins later than it is known to have begun.
    """
    known = job.first_event
    if known is None or not job.spec.view.is_unbounded or (first is not None and first <= known):
        return
    # Rows that no tick of this run can see are there all the same.
    event = base_casts(job.spec, columns).event.strict
    sql = f"SELECT epoch_us(min({event})) FROM {relation}"
    ((now,),) = connection.execute(sql).fetchall()
    if now is not None and from_us(now) <= known:
        return
    raise trimmed(None if now is None else from_us(now), known)


def trimmed(now: datetime | None, known: datetime) -> SourceTrimmed:
    begins = "has no rows" if now is None else f"begins with {now.isoformat()}"
    return SourceTrimmed(
        f"the source {begins} and began with {known.isoformat()} before: an unbounded window would"
        " lose what it counted. Put the rows back, or submit a version whose windows have bounds."
    )
