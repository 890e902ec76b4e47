"""How the values of one feature are distributed here and there, side by side, drawn and in words.

Not for what is compared with what: the pages of features and of runs say that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from materialization.charts import pairs
from materialization.quality.distributions import shares_between

if TYPE_CHECKING:
    from django.utils.safestring import SafeString

    from materialization.quality.profiles import ColumnProfile, Profile

#: Parts of a histogram, and texts that are told apart.
PARTS, TEXTS = 20, 12


class Shares(NamedTuple):
    """How the values are distributed, in words for each part; the chart says the same."""

    chart: SafeString
    rows: list[tuple[str, str, str]]


def column_of(profile: Profile | None, name: str) -> ColumnProfile | None:
    columns = profile.columns if profile else ()
    return next((each for each in columns if each.name == name), None)


def shares_of(before: ColumnProfile | None, now: ColumnProfile | None, which: str) -> Shares | None:
    """Return both distributions, ``which`` says of what and what; None: one of them is unknown."""
    if now is None or before is None:
        return None
    if now.marks and before.marks:
        return _of_marks(before, now, which)
    if now.top or before.top:
        return _of_texts(before, now, which)
    return None


def _of_marks(before: ColumnProfile, now: ColumnProfile, which: str) -> Shares:
    marks = np.array([mark for each in (before, now) for mark in each.marks[1:-1]])
    marks = marks[np.isfinite(marks)]
    if not len(marks):
        marks = np.array([0.0])
    low, high = marks.min() / 2, marks.max() / 2
    edges = np.unique(2 * np.linspace(low, high, PARTS + 1))
    shares = [shares_between(each.marks, edges).tolist() for each in (before, now)]
    words = [f"up to {edges[0]:,.6g}"]
    words += [f"to {edge:,.6g}" for edge in edges[1:]] + [f"above {edges[-1]:,.6g}"]
    title = f"shares of the values in {len(words)} parts, {which}"
    rows = [(word, f"{b:.1%}", f"{n:.1%}") for word, b, n in zip(words, *shares, strict=True)]
    return Shares(pairs(shares[0], shares[1], title), rows)


def _of_texts(before: ColumnProfile, now: ColumnProfile, which: str) -> Shares:
    names = list(dict.fromkeys(name for each in (before, now) for name, _ in each.top[:TEXTS]))
    names = names[:TEXTS]
    shares = []
    for each in (before, now):
        times = dict(each.top)
        found = [times.get(name, 0) / max(each.seen, 1) for name in names]
        shares.append([*found, max(1.0 - sum(found), 0.0) if each.seen else 0.0])
    title = f"shares of the {len(names)} most frequent values and of all others, {which}"
    words = [*(name[:60] for name in names), "all others"]
    rows = [(word, f"{b:.1%}", f"{n:.1%}") for word, b, n in zip(words, *shares, strict=True)]
    return Shares(pairs(shares[0], shares[1], title), rows)
