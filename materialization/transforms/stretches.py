"""Where rows are cut by their events into stretches of about as many rows, each a file. [pure]

A read of some time then opens the files of that time and no others. Not for windows, which are cut
by when rows became visible (``arrival``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materialization.stores.columns import EVENT, stored_schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.spec.version_spec import VersionSpec

#: Of fewer rows than this more files would rather cost a read than spare it.
_FEWEST_ROWS = 500_000
#: Narrow rows are the more a file, or care would soon make one of several: about 60 MB of numbers.
_VALUES = 8_000_000
#: The moments that are asked for: at a 64th of the rows, at two 64ths, and so on.
_GRAIN = 64
_ONE_IN = 200
#: Of so many stretches the rows that wait to be written fit into memory.
MOST = 60


def moments_sql(usable: str) -> str:
    """Return an aggregate over ``e``: instants in µs with as many rows before as after each.

    Of a sample by chance, wherever in the source they lie: the engine's own of a stream keeps its
    first rows, the earliest of a source in order.
    """
    shares = ", ".join(f"{part / _GRAIN}" for part in range(1, _GRAIN))
    sampled = f"({usable}) AND random() * {_ONE_IN:d} < 1"
    return f"quantile_disc(epoch_us(e), [{shares}]) FILTER (WHERE {sampled})"


def cuts(
    spec: VersionSpec, moments: Sequence[int] | None, rows: int, *, most: int = MOST
) -> tuple[int, ...]:
    """Return the last instants, in µs, of all stretches of ``rows`` rows but the last of them."""
    each = max(_FEWEST_ROWS, _VALUES // len(stored_schema(spec).names))
    many = max(1, min(-(-rows // each), most))
    if not moments:
        return ()
    return tuple(sorted({moments[part * _GRAIN // many - 1] for part in range(1, many)}))


def stretch_number(ends: Sequence[int], first: int = 0) -> str:
    """Return SQL for the number of the stretch, counted from ``first``, that a row is in."""
    within = [f"WHEN epoch_us({EVENT}) <= {end:d} THEN {first + n}" for n, end in enumerate(ends)]
    last = first + len(ends)
    return f"CASE {' '.join(within)} ELSE {last} END" if within else f"{last}"
