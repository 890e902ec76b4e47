"""What a drift check must satisfy on its own: a measure for the type, a limit that tells. [pure]

Not for the other checks: ``check_rules`` has those.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.reading.findings import Found
    from registry.reading.yaml_documents import Path
    from registry.spec.drift import DriftSpec
    from registry.spec.value_types import ValueType

#: A limit below the first is met by chance or by rounding at every run, one from the second on
#: never.
LIMITS = {
    "psi": (0.02, 100.0),
    "ks": (0.02, 1.0),
    "js": (0.05, 1.0),
    "null_share": (0.0001, 1.0),
    "mean": (0.001, 1e6),
}
LEAST_ROWS, MOST_ROWS = 10, 10**9
_ORDERED = ("int32", "int64", "float32", "float64", "decimal", "timestamp", "date")
_NAMED = (*_ORDERED, "string", "bool")
#: Which types have what is measured; of every type there is a share of nulls.
MEASURED = {"psi": _NAMED, "js": _NAMED, "ks": _ORDERED, "mean": _ORDERED[:5]}


def drift_problems(path: Path, kind: ValueType, drift: DriftSpec) -> Iterator[Found]:
    if not drift.thresholds:
        yield path, f"it asks for nothing; write a limit for one of {', '.join(LIMITS)}."
    for name, limit in drift.thresholds.items():
        low, high = LIMITS[name]
        if not (math.isfinite(limit) and low <= limit < high):
            message = (
                f"{limit:g}; write {low:g} or more, less than {high:g}: below, every run differs by"
                " chance, and beyond none does."
            )
            yield (*path, name), message
        if kind.kind not in MEASURED.get(name, (kind.kind,)):
            valid = [each for each in LIMITS if kind.kind in MEASURED.get(each, (kind.kind,))]
            yield (*path, name), f"not measured of a {kind}; {', '.join(valid)} can be."
    if not LEAST_ROWS <= drift.min_rows <= MOST_ROWS:
        yield (*path, "min_rows"), f"{drift.min_rows}; write {LEAST_ROWS} to {MOST_ROWS}."
