"""Columns of text as instants where Arrow reads all of it at once, by the rules for one. [pure]

Not for single texts (``lib.instants``), nor for saying which of them is none.
"""

from __future__ import annotations

from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from lib.instants import DAY_US, EARLIEST_US, INSTANT_TEXT, LATEST_US
from materialization.stores.columns import INSTANT

Texts = TypeVar("Texts", pa.Array, pa.ChunkedArray)


def instants_at_once(texts: Texts) -> Texts | None:
    """Return text as instants in UTC, null of null; None: it has to be read one by one.

    All zoned, or all naive, as instants are written: Arrow reads those. It knows a year 0, of
    which the last hours are in year 1 of UTC: so near the calendar's ends each is read alone.
    """
    written = pc.match_substring_regex(texts, f"^(?:{INSTANT_TEXT})$")
    for kind in (INSTANT, pa.timestamp("us")) if pc.all(written).as_py() is not False else ():
        try:
            found = texts.cast(kind).cast(INSTANT)
        except pa.ArrowInvalid:
            continue
        ends = pc.min_max(found.cast(pa.int64()))
        least, most = ends["min"].as_py(), ends["max"].as_py()
        is_far = least is None or EARLIEST_US + DAY_US <= least <= most <= LATEST_US - DAY_US
        return found if is_far else None
    return None
