"""How far a feature's values may move before somebody is told, or a run is stopped. [pure]

Not for measuring (``materialization.quality.drift``) or for what is well written
(``reading.drift_rules``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.choices import Against, CheckSeverity
from registry.spec.base import Spec

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The measures that a threshold can be of, and what each is called for people.
MEASURES = {
    "psi": "population stability index",
    "ks": "Kolmogorov-Smirnov statistic",
    "js": "Jensen-Shannon distance",
    "null_share": "change of the share of nulls",
    "mean": "shift of the mean in standard deviations",
}
#: Fewer rows differ by chance.
MIN_ROWS = 1000
#: What a threshold is compared with, by what the definition says.
SIDES = {
    Against.BASELINE: (Against.BASELINE,),
    Against.PREVIOUS: (Against.PREVIOUS,),
    Against.BOTH: (Against.BASELINE, Against.PREVIOUS),
}


class DriftSpec(Spec, frozen=True):
    """Each threshold is the most that is taken for no drift; one that is left out is not asked.

    A run is compared only where it, and what it is compared with, have ``min_rows`` rows.
    """

    psi: float | None = None
    ks: float | None = None
    js: float | None = None
    null_share: float | None = None
    mean: float | None = None
    against: Against = Against.BASELINE
    severity: CheckSeverity = CheckSeverity.WARN
    min_rows: int = MIN_ROWS

    @property
    def blocks(self) -> bool:
        return self.severity is CheckSeverity.BLOCK

    @property
    def thresholds(self) -> dict[str, float]:
        given = {name: getattr(self, name) for name in MEASURES}
        return {name: limit for name, limit in given.items() if limit is not None}

    def in_words(self) -> Iterator[str]:
        which = "baseline and previous run" if self.against is Against.BOTH else self.against
        warns = "" if self.blocks else " (warns)"
        for name, limit in self.thresholds.items():
            yield f"drift {name} at most {limit:g} against the {which}{warns}"


def loosened_drift(old: DriftSpec | None, new: DriftSpec | None) -> Iterator[str]:
    """Yield what of a drift check became weaker, as ``drift.psi``."""
    if old is None:
        return
    limits = new.thresholds if new else {}
    for name, limit in old.thresholds.items():
        if name not in limits or limits[name] > limit:
            yield f"drift.{name}"
    if new is None:
        return
    if new.min_rows > old.min_rows:
        yield "drift.min_rows"
    if set(SIDES[old.against]) - set(SIDES[new.against]):
        yield "drift.against"
    if old.blocks and not new.blocks:
        yield "drift.severity"
