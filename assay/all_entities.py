"""A training set of all entities, where there is no frame of them.
Not for frames; see frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, ClassVar, TypeAlias

from assay.encoding import instant, plain
from assay.shapes import JSON

Instant: TypeAlias = "datetime | date | str"


@dataclass(frozen=True, kw_only=True)
class AllEntities:
    """Every entity that the views tell of, in place of a frame; naive times are UTC.

    ``at`` one instant or several, or from ``start`` to ``end``, both inclusive: at each step of
    ``every`` (``"1d"``), or without it at each time at which something of an entity became known.
    ``limit`` rows of that; ``after`` is ``RetrievalJob.next`` of the rows before.
    """

    at: Instant | Sequence[Instant] | None = None
    start: Instant | None = None
    end: Instant | None = None
    every: str | None = None
    limit: int | None = None
    after: Mapping[str, Any] | None = None
    key: ClassVar[str] = "all_entities"

    def sent(self) -> JSON:
        """Give it as a request says it.

        :raises Invalid: a time is none.
        """
        at: Any = self.at
        if at is not None:
            is_one = isinstance(at, str | date)
            at = instant(at) if is_one else [instant(each) for each in at]
        said: JSON = {
            "at": at,
            "start": None if self.start is None else instant(self.start),
            "end": None if self.end is None else instant(self.end),
            "every": self.every,
            "limit": self.limit,
            "after": None if self.after is None else plain(dict(self.after)),
        }
        return {name: value for name, value in said.items() if value is not None}
