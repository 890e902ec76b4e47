"""Charts as SVG: courses over runs, and the shares of two sets of values side by side.

Drawn here and shown without any script. Each says in words what it is; the page has its figures in
a table as well. Not for choosing what is shown: pages do.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WIDTH, HEIGHT = 600, 90
#: How a value is written where nobody says.
FIGURE = "{:,.4g}"


def course(
    values: Sequence[float | None],
    words: str,
    *,
    shape: str = FIGURE,
    ends: Sequence[str] = (),
) -> SafeString:
    """Draw one figure over runs; a run without it is a gap. Empty of fewer than two figures."""
    return band([(value, value, value) for value in values], words, shape=shape, ends=ends)


def band(
    values: Sequence[tuple[float | None, float | None, float | None]],
    words: str,
    *,
    shape: str = FIGURE,
    ends: Sequence[str] = (),
) -> SafeString:
    """Draw (low, middle, high) over runs: a line in an area. Empty of fewer than two runs.

    Beside it stand the greatest and the least value, in ``shape``, and below it ``ends``: when the
    first and the last run was.
    """
    known = [
        (place, found)
        for place, each in enumerate(values)
        if len(found := [v for v in each if v is not None and math.isfinite(v)]) == 3
    ]
    if len(known) < 2:
        return mark_safe("")
    least = min(min(found) for _, found in known)
    most = max(max(found) for _, found in known)
    parts = [_piece(piece, len(values), least / 2, most / 2) for piece in _pieces(known)]
    drawn = _framed(format_html_join("", "{}", ((part,) for part in parts)), words)
    scale = dict.fromkeys([shape.format(most), shape.format(least)])
    return format_html(
        '<div class="as-scaled"><div>{}</div>{}<div class="as-ends">{}</div></div>',
        format_html_join("", "<span>{}</span>", ((value,) for value in scale)),
        drawn,
        format_html_join("", "<span>{}</span>", ((end,) for end in ends)),
    )


def _pieces(
    known: Sequence[tuple[int, list[float]]],
) -> Iterator[list[tuple[int, list[float]]]]:
    """Yield what follows each other without a gap."""
    piece: list[tuple[int, list[float]]] = []
    for place, found in known:
        if piece and place > piece[-1][0] + 1:
            yield piece
            piece = []
        piece.append((place, found))
    yield piece


def _piece(
    piece: Sequence[tuple[int, list[float]]], count: int, half_least: float, half_most: float
) -> SafeString:
    # Halves: the whole between the least and the greatest double is beyond every double.
    def at(place: int, value: float) -> str:
        x = 4 + (WIDTH - 8) * place / max(count - 1, 1)
        across = (value / 2 - half_least) / ((half_most - half_least) or 1.0)
        return f"{x:.1f},{HEIGHT - 4 - (HEIGHT - 8) * across:.1f}"

    line = " ".join(at(place, found[1]) for place, found in piece)
    upper = [at(place, found[2]) for place, found in piece]
    lower = [at(place, found[0]) for place, found in reversed(piece)]
    dots = format_html_join(
        "",
        '<circle cx="{}" cy="{}" r="2.5"></circle>',
        (at(place, found[1]).split(",") for place, found in piece),
    )
    return format_html(
        '<polygon points="{}"></polygon><polyline points="{}"></polyline>{}',
        " ".join(upper + lower), line, dots,
    )  # fmt: skip


def pairs(before: Sequence[float], now: Sequence[float], words: str) -> SafeString:
    """Draw shares of the same parts: what is now as bars, what was before as their outline."""
    most = max([*before, *now], default=0.0)
    if not most:
        return mark_safe("")
    wide = WIDTH / len(now)
    drawn = format_html_join(
        "",
        '<rect class="{}" x="{}" y="{}" width="{}" height="{}"></rect>',
        (
            (kind, f"{place * wide + 1:.1f}", f"{HEIGHT - tall:.1f}", f"{wide - 2:.1f}",
             f"{tall:.1f}")
            for kind, shares in (("as-now", now), ("as-before", before))
            for place, share in enumerate(shares)
            for tall in [(HEIGHT - 2) * share / most]
        ),
    )  # fmt: skip
    return _framed(drawn, words)


def _framed(drawn: SafeString, words: str) -> SafeString:
    return format_html(
        '<svg class="as-chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>',
        WIDTH,
        HEIGHT,
        words,
        drawn,
    )
