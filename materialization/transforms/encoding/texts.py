# ruff: noqa: S608 - the sub-selects are our own, terms go through text()
"""Texts as numbers, one a term. [pure]"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lib.sql_text import text
from materialization.errors import FitFailed
from materialization.transforms.encoding.step import doubles
from registry.spec.encode_steps import Step, TfIdf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from materialization.transforms.encoding.step import Ask, Parameters, StepKind

#: What Python's ``\b\w\w+\b`` finds: what is no letter, digit or underscore parts words.
_PATTERN = r"[\p{L}\p{N}_]{2,}"


def _words(v: str) -> str:
    return f"regexp_extract_all(lower({v}), {text(_PATTERN)})"


def _zeros(count: str) -> str:
    return f"list_resize([]::DOUBLE[], {count}, 0::DOUBLE)"


class TfIdfKind:
    """As TfidfVectorizer: counts times ``ln((1 + n) / (1 + texts with it)) + 1``, of length 1.

    Of terms that are as common the least has a place first. A text without any is all zeros.
    """

    def fit(self, step: Step, ask: Ask, rows: str) -> dict[str, Any]:
        if not isinstance(step, TfIdf):
            raise TypeError(f"{step} is no tfidf")
        ((count,),) = ask(f"SELECT count(v) FROM {rows}")
        words = f"SELECT row_number() OVER () AS d, {_words('v')} AS words FROM {rows}"
        each = f"SELECT d, unnest(words) AS w FROM ({words} WHERE v IS NOT NULL)"
        found = ask(
            f"SELECT w, count(*) FROM (SELECT d, w, count(*) AS n FROM ({each}) GROUP BY d, w)"
            f" GROUP BY w HAVING count(*) >= {step.at_least:d}"
            f" ORDER BY sum(n) DESC, w LIMIT {step.terms:d}"
        )
        if not found:
            raise FitFailed(
                f"no word of two letters or more is in {step.at_least} of its {count} texts; lower"
                " `at_least`, or choose a longer range"
            )
        weights = {w: math.log((1 + count) / (1 + texts)) + 1 for w, texts in found}
        return {"terms": sorted(weights), "weights": [weights[w] for w in sorted(weights)]}

    def stages(self, step: Step, fitted: Parameters, v: str) -> Sequence[str]:
        terms = fitted["terms"]
        place = f"enum_code(TRY_CAST(word AS ENUM({', '.join(map(text, terms))})))::BIGINT"
        known = f"list_transform({_words(v)}, lambda word: {place})"
        counted = f"coalesce(list_sort(map_entries(list_aggregate({v}, 'histogram'))), [])"
        weighed = f"lambda entry: entry.value * {doubles(fitted['weights'])}[entry.key + 1]"
        length = f"sqrt(list_sum(list_transform({v}.x, lambda one: one * one)))"
        # Between the places of its terms there are zeros, and after the last.
        gap = _zeros(f"spot - coalesce({v}.at[i - 1], -1) - 1")
        rest = _zeros(f"{len(terms):d} - 1 - coalesce({v}.at[-1], -1)")
        made = f"lambda spot, i: list_append({gap}, {v}.x[i] / {v}.length)"
        stages = (
            f"list_filter({known}, lambda place: place IS NOT NULL)",
            counted,
            f"{{'at': list_transform({v}, lambda entry: entry.key),"
            f" 'x': list_transform({v}, {weighed})}}",
            f"{{'at': {v}.at, 'x': {v}.x, 'length': {length}}}",
            f"list_concat(flatten(list_transform({v}.at, {made})), {rest})",
        )
        return [f"CASE WHEN {v} IS NULL THEN NULL ELSE {stage} END" for stage in stages]


KINDS: dict[type[Step], StepKind] = {TfIdf: TfIdfKind()}
