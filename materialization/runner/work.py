"""What one run has to do, and how what it read is counted.

Not for deciding it: ``looking`` does.
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from materialization.compute.jobs import ComputeJob
from materialization.compute.reports import Counters

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from materialization.readings import Planned
    from materialization.runner.beside import Identities
    from materialization.sources.inputs import Part
    from materialization.windows import Window


class Work(NamedTuple):
    """What one run has to do: ``windows`` count as stored once the ``job`` is done.

    ``until`` is then the instant up to which the table speaks. ``parts`` are the source's as the
    run goes by them, ``reads`` names those it opens, ``waiting`` those that are left for a later
    run, ``vanished`` those that earlier runs saw and the source has no more. No job: nothing is to
    be read. ``keeps_ticks``: what is stored is not looked at again.
    """

    windows: list[Window]
    until: datetime
    parts: Sequence[Part]
    waiting: Sequence[str] = ()
    vanished: Sequence[str] = ()
    reads: frozenset[str] = frozenset()
    planned: Sequence[Planned] = ()
    job: ComputeJob | None = None
    keeps_ticks: bool = False
    #: In which state the joined sources are that are read with it.
    beside: Identities = MappingProxyType({})

    def counts(self, counters: Counters | None) -> dict[str, Any]:
        """Say what was read of the source and what became of it, for ``run.source_counts``."""
        found = counters or Counters()
        why = _why_gone(found)
        return {
            **({"why_gone": why} if why else {}),
            **({"parts_gone": len(self.vanished)} if self.vanished else {}),
            **({"first_gone": Path(self.vanished[0]).name} if self.vanished else {}),
            **({"of_ticks": True} if self.job and self.job.spec.transform.makes_ticks else {}),
            **({"copies": found.copies} if found.copies else {}),
            "parts": len(self.parts) + len(self.waiting),
            "parts_read": len(self.reads),
            "parts_waiting": len(self.waiting),
            "rows_read": found.rows_read,
            "rows_stored": found.rows,
            "already_stored": found.already_stored,
            "repeated": found.repeated,
            "corrected": found.corrected,
            "gone": found.gone,
            "late": found.late,
            "dropped_null_key": found.dropped_null_key,
            "dropped_null_time": found.dropped_null_time,
            "placeholder_times": found.placeholder_times,
            "keeps_ticks": self.keeps_ticks,
        }


def _why_gone(found: Counters) -> str:
    """Say why ticks stayed as they are though the source has rows for them; empty: none did."""
    if not found.gone or found.whole_from is None:
        return ""
    return (
        f"the source begins after ticks that are stored, so of the windows of those before"
        f" {found.whole_from:%Y-%m-%d %H:%M:%S} UTC it has a part only"
    )
