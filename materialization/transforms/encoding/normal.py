"""The number that has a share of the normal distribution below it, as SQL. [pure]

Source: M. J. Wichura, "Algorithm AS 241: The Percentage Points of the Normal Distribution" (1988),
PPND16: about 1 part in 10^16. Not for what shares are of (``stretches``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materialization.transforms.encoding.step import double

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Shares nearer to 0 and 1 are as these, as scikit-learn has it: what 1e-7, and 1 less that, have.
LOWEST, HIGHEST = -5.199337582605575, 5.19933758270342
#: How far from one half the middle reaches; what is beyond is computed from the nearer end.
_MIDDLE, _MIDDLE_SQUARED = 0.425, 0.180625
#: Numerators and denominators, the highest power first.
_OF_MIDDLE = (
    (
        2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4,
        4.5921953931549871457e4, 1.3731693765509461125e4, 1.9715909503065514427e3,
        1.3314166789178437745e2, 3.3871328727963666080e0,
    ),
    (
        5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4,
        2.1213794301586595867e4, 5.3941960214247511077e3, 6.8718700749205790830e2,
        4.2313330701600911252e1, 1.0,
    ),
)  # fmt: skip
#: Of the ends, where the root of the negative logarithm is at most 5: all that is not cut off.
_OF_ENDS = (
    (
        7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1,
        1.27045825245236838258e0, 3.64784832476320460504e0, 5.76949722146069140550e0,
        4.63033784615654529590e0, 1.42343711074968357734e0,
    ),
    (
        1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2,
        1.48103976427480074590e-1, 6.89767334985100004550e-1, 1.67638483018380384940e0,
        2.05319162663775882187e0, 1.0,
    ),
)  # fmt: skip


def normal_stages(v: str) -> Sequence[str]:
    """Return stages that make of a share between 0 and 1 its number; NaN stays NaN."""
    ends = f"sqrt(-ln(greatest(least({v}, 1 - {v}), 1e-8::DOUBLE))) - 1.6::DOUBLE"
    middle = f"{double(_MIDDLE_SQUARED)} - ({v} - 0.5::DOUBLE) * ({v} - 0.5::DOUBLE)"
    is_middle = f"abs({v} - 0.5::DOUBLE) <= {double(_MIDDLE)}"
    near = f"({v}.p - 0.5::DOUBLE) * {_ratio(f'{v}.r', _OF_MIDDLE)}"
    far = f"sign({v}.p - 0.5::DOUBLE) * {_ratio(f'{v}.r', _OF_ENDS)}"
    found = f"CASE WHEN {v}.is_middle THEN {near} ELSE {far} END"
    return (
        f"CASE WHEN {v} IS NULL THEN NULL ELSE {{'p': {v}, 'is_middle': {is_middle},"
        f" 'r': CASE WHEN {is_middle} THEN {middle} ELSE {ends} END}} END",
        f"CASE WHEN {v} IS NULL THEN NULL WHEN isnan({v}.p) THEN {v}.p"
        f" ELSE greatest({double(LOWEST)}, least({double(HIGHEST)}, {found})) END",
    )


def _ratio(r: str, of: tuple[Sequence[float], Sequence[float]]) -> str:
    over, under = (_polynomial(r, coefficients) for coefficients in of)
    return f"({over}) / ({under})"


def _polynomial(r: str, coefficients: Sequence[float]) -> str:
    sql = double(coefficients[0])
    for each in coefficients[1:]:
        sql = f"({sql}) * {r} + {double(each)}"
    return sql
