"""Noticing that a row changed between being looked at and being changed.

Not for versions: ``FeatureViewVersion.hold`` compares those by what they say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lib.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.db.models import Model


class ChangedMeanwhile(Conflict):
    code = "changed_meanwhile"


def require_unchanged(row: Model, seen: Mapping[str, Any]) -> None:
    """Return if ``row``, loaded under its lock, still has the values the actor saw.

    :raises ChangedMeanwhile: naming each column with its value now and the one that was seen.
    """
    now = {column: getattr(row, column) for column in seen}
    changed = [column for column in seen if now[column] != seen[column]]
    if changed:
        told = "; ".join(f"{each} is {now[each]!r} now, not {seen[each]!r}" for each in changed)
        raise ChangedMeanwhile(
            f"{row} changed since you looked: {told}. Look again, then repeat.", changed=changed
        )
