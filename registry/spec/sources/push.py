"""Sources whose rows are sent to us, one or many at a time. [pure]"""

from __future__ import annotations

from registry.spec.sources.arriving import ArrivingSource


class PushSource(ArrivingSource, frozen=True, kw_only=True, tag="push"):
    """Rows that programs push. The name is its address: whoever pushes says it."""

    example = {"schema": {"customer_id": "int64", "paid_at": "timestamp"}}
    called = "push source"
    arrives = "pushed"

    def where(self) -> str:
        return "pushed rows"

    def path_within(self) -> str:
        """Nothing but the name tells one from another."""
        return "**"

    def as_written(self) -> str:
        return ""
