"""Features: what the values of each look like now, at its baseline, and over its latest runs.

Parts of the page that the registry has of each. Not for a version's rows as a whole: its own page
has those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.template.loader import render_to_string
from django.utils import timezone

from materialization.admin.shares import column_of, shares_of
from materialization.charts import band, course
from materialization.disclosure import Disclosure
from materialization.quality.history import approvers_of, history_of
from materialization.quality.profiles import QUANTILES
from registry.admin.panels import panel
from registry.choices import Against
from registry.models import Feature
from registry.spec.drift import MEASURES, MIN_ROWS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.http import HttpRequest

    from materialization.admin.shares import Shares
    from materialization.quality.history import History, Past, Point
    from materialization.quality.profiles import ColumnProfile
    from registry.spec.drift import DriftSpec

LOW, MEDIAN, HIGH = (QUANTILES.index(share) for share in (0.05, 0.5, 0.95))


class Seen(NamedTuple):
    """What somebody is shown of a feature: its values; ``is_withheld``: not even means of them."""

    values: bool
    is_withheld: bool

    def figures(self, column: ColumnProfile) -> list[str]:
        """Return mean, deviation and three quantiles, as far as they are shown."""
        means = (None, None) if self.is_withheld else (column.mean, column.std)
        quantiles = _band(column) if self.values else (None, None, None)
        return [_shown(each) for each in (*means, *quantiles)]


@panel(Feature, is_wide=True)
def values_panel(request: HttpRequest, feature: Feature) -> str:
    """Show what the values look like now and over the latest runs, to those who may read them."""
    if not feature.version.spec.transform.is_stored:
        return ""
    history, name = history_of(feature.version), feature.name
    shown, version = Disclosure(request.user, at=timezone.now()), feature.version
    seen = Seen(shown.shows(version, name), name in shown.withheld(version))
    spec = next(each for each in feature.version.spec.features if each.name == name)
    points = [point for point in history.points if name in point.columns]
    if _is_looked_at_by_none(feature, history):
        return ""
    context = {
        "feature": feature,
        "baseline": history.baseline,
        "seen": seen,
        "points": [_row(point, name, seen) for point in reversed(points)],
        "charts": list(_charts(points, name, seen)),
        "drift": _drift(points, feature, spec.checks.drift),
        "why_not": _why_not(history, points, spec.checks.drift),
        "shares": _shares(history, name) if seen.values else None,
        "spans": [
            _past(past, past.columns[name], seen)
            for past in reversed(history.spans)
            if name in past.columns
        ],
    }
    return render_to_string("materialization/admin/feature_values.html", context, request)


@panel(Feature)
def baseline_panel(request: HttpRequest, feature: Feature) -> str:
    """Show what the values are compared with, and who said so."""
    if not feature.version.spec.transform.is_stored:
        return ""
    history = history_of(feature.version)
    if _is_looked_at_by_none(feature, history):
        return ""
    context = {
        "baseline": history.baseline,
        "approved_by": ", ".join(approvers_of(feature.version)),
    }
    return render_to_string("materialization/admin/feature_baseline.html", context, request)


def _is_looked_at_by_none(feature: Feature, history: History) -> bool:
    """Whether its rows arrive, of which no run makes a profile, and nobody asked for one."""
    seen = history.points or history.spans or history.baseline
    return feature.version.spec.is_pushed and not seen


def _charts(points: Sequence[Point], name: str, seen: Seen) -> Any:
    """Yield title, chart, and the figure of the latest run, of what was drawn."""
    columns = [point.columns[name] for point in points]
    over = f"over {len(points)} runs"
    edges = (points[0], points[-1]) if points else ()
    ends = [f"{each.run.window_end:%Y-%m-%d %H:%M}" for each in edges]
    given: list[tuple[str, list[float | None], str]] = [
        ("Rows", [float(each.rows) for each in columns], "{:,.0f}"),
        ("Share of nulls", [each.nulls / each.rows for each in columns], "{:.2%}"),
    ]
    if not seen.is_withheld:
        given.append(("Mean", [each.mean for each in columns], "{:,.4g}"))
    for side in (Against.BASELINE, Against.PREVIOUS):
        figures = [_number(point.drift(side, name).get("psi")) for point in points]
        given.append((f"PSI against the {side}", figures, "{:.3f}"))
    for title, values, shape in given:
        if chart := course(values, f"{title} {over}", shape=shape, ends=ends):
            latest = next((each for each in reversed(values) if each is not None), None)
            yield title, chart, "" if latest is None else shape.format(latest)
    if seen.values:
        quantiles = [_band(each) for each in columns]
        title = "Median, within the 5th to the 95th percentile"
        if chart := band(quantiles, f"{title}, {over}", ends=ends):
            yield title, chart, "" if quantiles[-1][1] is None else f"{quantiles[-1][1]:,.4g}"


def _number(value: float | str | None) -> float | None:
    return None if value is None else float(value)


def _band(column: ColumnProfile) -> tuple[float | None, float | None, float | None]:
    if not column.quantiles:
        return None, None, None
    return column.quantiles[LOW], column.quantiles[MEDIAN], column.quantiles[HIGH]


def _row(point: Point, name: str, seen: Seen) -> dict[str, Any]:
    column = point.columns[name]
    return {
        "run": point.run,
        "rows": column.rows,
        "nulls": f"{column.nulls / column.rows:.2%}",
        "figures": seen.figures(column),
        "drift": [
            _shown(_number(point.drift(side, name).get(measure)))
            for side in (Against.BASELINE, Against.PREVIOUS)
            for measure in ("psi", "ks")
        ],
    }


def _past(past: Past, column: ColumnProfile, seen: Seen) -> dict[str, Any]:
    return {
        "span": past.span,
        "nulls": f"{column.nulls / max(column.rows, 1):.2%}",
        "figures": seen.figures(column),
    }


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:,.4g}"


def _drift(
    points: Sequence[Point], feature: Feature, asked: DriftSpec | None
) -> dict[str, Any] | None:
    """Return every measure of the latest run that was compared, with its limit."""
    sides = (Against.BASELINE, Against.PREVIOUS)
    latest = next(
        (p for p in reversed(points) if any(p.drift(side, feature.name) for side in sides)), None
    )
    if latest is None:
        return None
    limits = asked.thresholds if asked else {}
    rows = []
    for measure, words in MEASURES.items():
        found = [_number(latest.drift(side, feature.name).get(measure)) for side in sides]
        limit = limits.get(measure)
        rows.append(
            (words, [_shown(each) for each in found], "" if limit is None else f"{limit:g}")
        )
    return {"run": latest.run, "rows": rows, "baseline_set_at": latest.baseline_set_at}


def _why_not(history: History, points: Sequence[Point], asked: DriftSpec | None) -> str:
    """Say what there is too little of to compare the feature's values."""
    compared = [point for point in points if point.run.drift is not None]
    if not compared:
        lacks = "" if history.baseline else "a baseline and "
        return f"it takes {lacks}a run that continues the data of a version that is ready."
    least, run = asked.min_rows if asked else MIN_ROWS, compared[-1]
    sides = [f"run {run.run.pk} stored {run.rows:,}"]
    if history.baseline:
        sides.append(f"the baseline is of {history.baseline.rows:,}")
    return (
        f"it takes {least:,} rows on both sides, and {' and '.join(sides)}."
        " A drift check of the feature may ask for another number by min_rows."
    )


def _shares(history: History, name: str) -> Shares | None:
    """Compare the latest runs together with the baseline; without one, with themselves."""
    now = column_of(history.merged, name)
    before = column_of(history.compared, name) or now
    return shares_of(before, now, "at the baseline and in the latest runs")
