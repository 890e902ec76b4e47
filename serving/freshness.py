"""How old what an answer came from is, against what its version promises. [pure]

Not for asking: an online read finds the age in the markers it fetches, the promise in its plan.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from lib.instants import timestamp

if TYPE_CHECKING:
    from datetime import datetime

_NONE = timedelta(0)


def freshness_json(promise: str, covered_until: datetime, at: datetime) -> dict[str, Any]:
    """Return what an answer's metadata say of a version's age; an empty ``promise`` is none."""
    return {
        "promise": promise or None,
        "covered_until": timestamp(covered_until),
        "age_seconds": round(max(at - covered_until, _NONE).total_seconds(), 3),
    }


def overdue_words(version: str, promise: str, covered_until: datetime) -> str:
    """Return the warning of a version that is older than it promises."""
    return (
        f"{version} is overdue: it covers the time up to {timestamp(covered_until)}, and promises"
        f" to be no older than {promise}."
    )
