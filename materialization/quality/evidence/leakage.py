"""Signs that a version's values know what was not known yet.

Each is a count with what it is of; none is a verdict. Not for whether it blocks: policy says that.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from materialization.compute.questions import Timing
from materialization.quality.evidence.comparison import compare_trials, rows_of
from materialization.stores.columns import CREATED, EVENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from materialization.compute.engine import Engine
    from materialization.quality.evidence.trial import Trial

#: So few distinct load times over so many rows are loads, not arrivals.
_FEW_LOADS, _MANY_ROWS = 3, 100
#: The separation by one feature needs a label.
NO_LABEL = "no training set of this project names a label."


def first_event_of(files: Sequence[str]) -> datetime | None:
    """Return the first event of the rows in files that we wrote; None: there are no rows."""
    return min((first for file in files for first in _firsts(file)), default=None)


def _firsts(file: str) -> Iterator[datetime]:
    """Yield the first event of each row group, as the footer says it."""
    footer = pq.read_metadata(file)
    column = footer.schema.to_arrow_schema().get_field_index(EVENT)
    for number in range(footer.num_row_groups):
        found = footer.row_group(number).column(column).statistics
        if found is not None and found.has_min_max:
            with suppress(ValueError, OverflowError):  # an instant that Python has no date for
                yield found.min


def stamps_of(files: Sequence[str]) -> tuple[Any, Any]:
    """Return the event and created times of all rows, in microseconds since 1970."""
    if not files:
        return np.array([], np.int64), np.array([], np.int64)
    tables = [pq.read_table(file, columns=[EVENT, CREATED]) for file in files]
    table = pa.concat_tables(tables)
    event, created = (table[name].cast(pa.int64()).to_numpy() for name in (EVENT, CREATED))
    return event, created


def probe(full: Trial, cut: Trial | None, *, engine: Engine) -> dict[str, dict[str, Any]]:
    """Look at the rows of a trial; ``cut`` has those without the later rows of the source."""
    return {
        **_stamps(full),
        "future_events": _future_events(full),
        "later_rows_removed": _later_rows_removed(full, cut, engine),
        "separation": {"why": NO_LABEL},
    }


def _stamps(full: Trial) -> dict[str, dict[str, Any]]:
    """Look at when rows were true and when they were known; both probes read them once."""
    no_loads = {"why": "there are no stamps of loading to look at."}
    if full.spec.transform.makes_ticks:
        why = "a row of a tick is known at its tick, whenever what it is made of came."
        return {"created_after_event": {"why": why}, "bulk_load": no_loads}
    if full.spec.rows_from.created_timestamp is None:
        why = "the source does not say when a row was known."
        return {"created_after_event": {"why": why}, "bulk_load": no_loads}
    event, created = stamps_of(full.files)
    return {
        "created_after_event": _created_after_event(event, created),
        "bulk_load": _bulk_load(created),
    }


def _created_after_event(event: Any, created: Any) -> dict[str, Any]:
    """Rows that were known only after their event: a training set must not see them before."""
    lag = (created - event)[created > event]
    return {
        "rows": len(event),
        "later": len(lag),
        "median_seconds": float(np.median(lag)) / 1e6 if len(lag) else None,
        "most_seconds": float(lag.max()) / 1e6 if len(lag) else None,
    }


def _future_events(full: Trial) -> dict[str, Any]:
    if full.spec.transform.makes_ticks:
        return {"why": "rows after the last tick are not looked at."}
    return {"parts": len(full.counters.has_later)}


def _bulk_load(created: Any) -> dict[str, Any]:
    stamps = len(np.unique(created))
    is_bulk = stamps <= _FEW_LOADS and len(created) >= _MANY_ROWS
    return {"rows": len(created), "stamps": stamps, "looks_so": is_bulk}


def _later_rows_removed(full: Trial, cut: Trial | None, engine: Engine) -> dict[str, Any]:
    """Values before an instant may not depend on rows after it."""
    if cut is None or not cut.files:
        return {"why": "there are no rows before half of the time."}
    # Asked when they were known, and for what was known: a correction that came later is no leak.
    asked = rows_of([cut], engine=engine, when_known=True)
    found = compare_trials(cut, full, asked=asked, engine=engine, timing=Timing.KNOWN)
    changed = {
        name: found.rows - facts["equal"]
        for name, facts in found.facts.items()
        if facts["equal"] < found.rows
    }
    return {"until": cut.window.end.isoformat(), "rows": found.rows, "changed": changed}
