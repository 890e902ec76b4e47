"""Rows of a query that are kept: whoever reads them may read its source's columns, as of now.

Not for asking the query (``historical.queried_frame``), nor for the features beside the rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.row_queries import is_shown, read_kept, require_shown

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import AnonymousUser, User

    from serving.models import Dataset, HistoricalJob


def require_frame(
    of: Dataset | HistoricalJob,
    user: User | AnonymousUser,
    *,
    at: datetime,
    came_as_own: bool = False,
) -> None:
    """Return if somebody may read the frame: one that was sent, or whose columns are theirs to see.

    :raises GrantNeeded: it is a query's, and reads what takes a grant; names it.
    """
    if of.query:
        spec = read_kept(of.query)
        require_shown(user, of.project, spec, at=at, came_as_own=came_as_own)


def shows_frame(of: Dataset | HistoricalJob, user: User | AnonymousUser, *, at: datetime) -> bool:
    """Return as ``require_frame``."""
    return not of.query or is_shown(user, of.project, read_kept(of.query), at=at)
