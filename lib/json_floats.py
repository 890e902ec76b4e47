"""Numbers that JSON has no form for, by the texts that proto3 JSON gives them. [pure]

Not for columns of them: who packs or reads those does.
"""

from __future__ import annotations

from math import inf, isfinite, isnan, nan

#: Those numbers by their texts.
NOT_FINITE = {"NaN": nan, "Infinity": inf, "-Infinity": -inf}


def json_float(value: float) -> float | str:
    """Return a number as JSON has it: as it is, or the text that stands for it."""
    if isfinite(value):
        return value
    return "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"
