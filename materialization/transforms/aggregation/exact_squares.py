"""Variances out of sums that are exact: of values, and of their squares. [pure]

Not for sums of values alone (``exact_sums``), nor for what is kept of them (``states.moments``).

A value is a whole number of a power of two. Its square has twice the digits, more than 128 bits, so
the number is cut into limbs of 46 bits, and each sum of products of limbs has a sum of its own.
``n Σx² − (Σx)²`` is then exact however much of it cancels: no digit is lost that the values have,
and the result is the same however a history is cut into runs.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from materialization.transforms.aggregation.exact_sums import doubles_of, times_power
from materialization.transforms.aggregation.rounding import (
    Near,
    Staged,
    added,
    divided,
    half,
    is_safe,
    layered_together,
    lost,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: The function of SQL that is ours.
SPREAD = "assay_spread"
#: Three products of two limbs, of 2^33 rows, stay inside 128 bits.
LIMB = 46
#: More than the relative error of what was rounded off.
_ERROR = f"{2.0**-45!r}::DOUBLE"
#: Powers of two further apart than this may lose a part to the least double there is.
_APART, _MAY_BE_LOST = 400, f"{2.0**-900!r}::DOUBLE"
#: What one division takes.
_DIGITS_AT_ONCE = 7


class Moments(NamedTuple):
    """Totals of a window: ``(power of two, SQL)`` of the sums of values, and of their squares.

    ``scale``: how many digits of each value are behind the point. ``is_constant``: SQL that is true
    where all values are one; never true where it cannot tell.
    """

    sums: Sequence[tuple[int, str]]
    squares: Sequence[tuple[int, str]]
    number: str
    scale: int
    is_constant: str


def limbs_of(bits: int) -> int:
    return max(1, math.ceil(bits / LIMB))


def limbs(number: str, bits: int) -> list[str]:
    """Return the limbs of a whole number that is not negative, the lowest first."""
    count, mask = limbs_of(bits), (1 << LIMB) - 1
    shifted = [f"({number} >> {LIMB * i})" if i else f"({number})" for i in range(count)]
    return [f"({each} & {mask}::HUGEINT)" for each in shifted[:-1]] + shifted[-1:]


def squared(parts: Sequence[str]) -> Iterator[str]:
    """Yield what the square of a number has of each power of a limb, the lowest first."""
    for power in range(2 * len(parts) - 1):
        pairs = [(i, power - i) for i in range(len(parts)) if i <= power - i < len(parts)]
        yield " + ".join(
            f"{parts[i]} * {parts[j]}" if i == j else f"2 * {parts[i]} * {parts[j]}"
            for i, j in pairs
        )


def spread(
    sums: list[int],
    powers: list[int],
    squares: list[int],
    square_powers: list[int],
    scale: int,
    count: int,
    is_root: bool,
) -> float:
    """Return the variance of a sample, or its root, out of exact totals; each rounded once.

    DuckDB evaluates the annotations: they name nothing that is imported for types alone.
    """
    low = min(0, *powers)
    total = sum(each << power - low for each, power in zip(sums, powers, strict=True))
    of_squares = sum(
        each << power - 2 * low for each, power in zip(squares, square_powers, strict=True)
    )
    above = count * of_squares - total * total
    below: int = count * (count - 1) * 10 ** (2 * scale) << -2 * low
    if not above:
        return 0.0
    # Near to 1 it is an ordinary double, and so is its root, whatever becomes of it.
    shift = (above.bit_length() - below.bit_length()) // 2
    near = (above << max(0, -2 * shift)) / (below << max(0, 2 * shift))
    try:
        return math.ldexp(math.sqrt(near), shift) if is_root else math.ldexp(near, 2 * shift)
    except OverflowError:
        return math.inf


def spread_sql(stem: str, given: Moments, *, is_root: bool) -> Staged:
    """Return the double nearest to the variance of a sample, or the root of that double.

    Twice the digits of a double nearly always decide it. ``stem`` begins the names of columns.
    """
    if not given.sums:  # nothing but zeros
        return Staged((), "0::DOUBLE")
    base = max(power for power, _ in given.sums)
    sum_layers, total = _summed(f"{stem}_t", [(p - base, sql) for p, sql in given.sums])
    square_layers, squares = _summed(f"{stem}_q", [(p - 2 * base, sql) for p, sql in given.squares])
    layers = layered_together(sum_layers, square_layers)
    steps, near = _difference(stem, total, squares, given.number)
    layers += steps
    for number, by in enumerate(_divisors(given)):
        steps, near = divided(f"{stem}_by{number}", near, by)
        layers += steps
    variance = near.value
    value = (
        times_power(f"sqrt({variance})", base)
        if is_root
        else times_power(f"({variance})", 2 * base)
    )
    exact = _exactly_sql(given, is_root=is_root)
    return Staged(
        tuple(layers),
        f"CASE WHEN {near.is_decided} AND {is_safe(f'({value})')} THEN {value} "
        f"WHEN {given.is_constant} THEN 0 ELSE {exact} END",
    )


def _summed(stem: str, sums: Sequence[tuple[int, str]]) -> tuple[list[dict[str, str]], Near]:
    layers, parts = doubles_of(stem, sums)
    if max(abs(power) for power, _ in sums) > _APART:
        parts = parts._replace(doubt=f"{parts.doubt} + {_MAY_BE_LOST}")
    steps, near = added(stem, parts)
    return [*layers, *steps], near


def _difference(
    stem: str, total: Near, squares: Near, count: str
) -> tuple[list[dict[str, str]], Near]:
    """Return the layers of ``count`` times the squares less the square of the total."""
    s, more, off = squares
    t, rest, doubt = total
    n = f"CAST({count} AS DOUBLE)"
    p, q, ph, qh, pl, ql, d, e = (
        f"{stem}_{name}" for name in ("p", "q", "ph", "qh", "pl", "ql", "d", "e")
    )
    low = f"({t} - {qh})"
    layers = [
        {p: f"{s} * {n}", q: f"{t} * {t}", ph: half(s), qh: half(t)},
        {
            pl: f"({ph} * {n} - {p}) + ({s} - {ph}) * {n} + {more} * {n}",
            ql: f"({qh} * {qh} - {q}) + 2 * {qh} * {low} + {low} * {low} + 2 * {t} * {rest}",
            d: f"{p} - {q}",
        },
        {
            e: f"({lost(p, f'(-{q})')}) + ({pl} - {ql})",
            f"{stem}_off": f"(abs({pl}) + abs({ql}) + abs({more} * {n}) + abs({t} * {rest}) "
            f"+ abs({lost(p, f'(-{q})')})) * {_ERROR} + {off} * {n} + 3 * abs({t}) * {doubt} "
            f"+ 2 * {rest} * {rest}",
        },
        {f"{stem}_above": f"{d} + {e}", f"{stem}_left": lost(d, e)},
    ]
    return layers, Near(f"{stem}_above", f"{stem}_left", f"{stem}_off")


def _divisors(given: Moments) -> Iterator[str]:
    yield given.number
    yield f"({given.number} - 1)"
    digits = 2 * given.scale
    while digits:
        yield str(10 ** min(digits, _DIGITS_AT_ONCE))
        digits -= min(digits, _DIGITS_AT_ONCE)


def _exactly_sql(given: Moments, *, is_root: bool) -> str:
    def listed(totals: Sequence[tuple[int, str]]) -> str:
        sums = ", ".join(f"CAST({sql} AS HUGEINT)" for _, sql in totals)
        return f"[{sums}], {[power for power, _ in totals]}"

    return (
        f"{SPREAD}({listed(given.sums)}, {listed(given.squares)}, {given.scale}, "
        f"CAST({given.number} AS HUGEINT), {is_root})"
    )
