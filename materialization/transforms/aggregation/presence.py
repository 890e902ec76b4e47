# ruff: noqa: S608 - names go through identifier(), the rest are numbers and names of our own
"""From when until when stored events tell of an entity, as DuckDB's SQL. [pure]

Not for the values they make there (``as_of``): this says at which instants it finds any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.instants import MICROSECOND, to_us
from materialization.compute.questions import Timing
from materialization.compute.stored_rows_sql import stored_rows
from materialization.stores.columns import CREATED, EVENT
from materialization.transforms.aggregation.aggregates import read_aggregates
from materialization.transforms.aggregation.events import COUNT, source_types

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.spec.version_spec import VersionSpec


def presence_sql(
    spec: VersionSpec,
    files: Sequence[str],
    *,
    keys: str,
    names: str,
    bounds_us: tuple[int, int],
    timing: Timing,
    anew: bool,
) -> str:
    """Return SQL for the keys of each event that counts within the bounds, and its span.

    ``keys`` selects the stored keys as ``names``; then come ``since`` and ``until`` in µs, both
    inclusive. An event tells of its entity from where it was visible on, if it was in time for the
    longest window, until it has been out of that for longer than the TTL, or for ever (NULL). What
    was found to be gone tells of it still, with event timing not. Nobody is found before the view's
    start. With ``anew`` only what came to count within the bounds, and so from its start on.
    """
    first, last = bounds_us
    longest = read_aggregates(spec, source_types(spec)).windows[-1] // MICROSECOND
    reach = None if spec.ttl is None else longest + spec.ttl // MICROSECOND
    start = None if spec.view.start is None else to_us(spec.view.start)
    within = [f"{EVENT} <= make_timestamptz({last})"]
    if reach is not None and not spec.view.is_unbounded:
        within.append(f"{EVENT} >= make_timestamptz({first - reach})")
    counts = [f"v <= {last}", f"v < e + {longest}"]
    since = "v"
    if anew:
        counts.append(f"v >= {first if start is None else max(first, start)}")
    elif start is not None:
        since = f"greatest(v, {start})"
    until = "NULL::BIGINT" if reach is None else f"e + {reach}"
    if reach is not None and start is not None:
        counts.append(f"{until} >= {start}")
    stored = f"{stored_rows(files)} s WHERE {' AND '.join(within)}"
    visible = _visible_sql(stored, keys=keys, names=names, timing=timing)
    return (
        f"SELECT {names}, {since} AS since, {until} AS until FROM ({visible})"
        f" WHERE {' AND '.join(counts)}"
    )


def _visible_sql(stored: str, *, keys: str, names: str, timing: Timing) -> str:
    """Return SQL for the keys and times of events, and since when each is visible: ``e, v``."""
    if timing is Timing.KNOWN:
        known = f"epoch_us(greatest({EVENT}, {CREATED})) AS v"
        return f"SELECT {keys}, epoch_us({EVENT}) AS e, {known} FROM {stored} AND {COUNT} > 0"
    counted = f"SELECT {keys}, epoch_us({EVENT}) AS e, {COUNT} AS n FROM {stored}"
    # What is gone by now was never there.
    return f"SELECT {names}, e, e AS v FROM ({counted}) GROUP BY ALL HAVING sum(n) > 0"
