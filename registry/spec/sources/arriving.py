"""What sources say whose rows come to us one by one, and not by runs that look for them. [pure]"""

from __future__ import annotations

from typing import ClassVar

from registry.spec.sources.base import SourceSpec


class ArrivingSource(SourceSpec, frozen=True, kw_only=True):
    """Rows that arrive: there is nothing to look at, so ``schema`` declares all there is."""

    #: What it is called in messages, and how its rows come.
    called: ClassVar[str]
    arrives: ClassVar[str]

    #: Column → value type.
    schema: dict[str, str]
    #: Columns that a row may be without; null then.
    optional: tuple[str, ...] = ()
    #: The column that tells events of one entity and time apart, for windows; None: none are.
    event_id: str | None = None
