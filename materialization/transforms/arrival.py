"""Arrival: which rows of a source a window takes, the late ones among them. [pure]

Not for windows themselves (``windows``). A row is visible from ``greatest(event, created)`` on, and
belongs to the window in which it became visible, however old its event is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.sql_text import instant

if TYPE_CHECKING:
    from datetime import datetime

    from registry.spec.model import VersionSpec


def arrived_in(spec: VersionSpec, window_start: datetime | None, window_end: datetime) -> str:
    """Return SQL over ``e`` and ``c`` (event and created time) that is true for the rows taken.

    Rows before the view's ``start``, by event, are in no window.
    """
    conditions = [f"greatest(e, c) <= {instant(window_end)}"]
    if window_start is not None:
        conditions.append(f"greatest(e, c) > {instant(window_start)}")
    if spec.view.start is not None:
        conditions.append(f"e >= {instant(spec.view.start)}")
    return " AND ".join(conditions)
