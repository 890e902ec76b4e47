"""What a run's profile says of each column, as a table. Not for who may see it: ``disclosure``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from materialization.markup import bars

if TYPE_CHECKING:
    from registry.spec.model import FeatureSpec


#: What a profile says of a column, in the order of the table.
PROFILE_WORDS = {
    "nulls": "Null", "nans": "NaN", "min": "Min", "median": "Median", "max": "Max",
    "mean": "Mean", "std": "Std. dev.", "distinct": "Distinct",
}  # fmt: skip


def profile_table(profile: dict[str, Any], features: tuple[FeatureSpec, ...]) -> dict[str, Any]:
    """Return a run's profile as headers and one row a feature; empty when no row was profiled."""
    columns = profile.get("columns", [])
    if not columns or not profile.get("rows"):
        return {}
    of_feature = {feature.name: feature for feature in features}
    columns = [_told(column, of_feature.get(column["name"])) for column in columns]
    told = {key for column in columns for key, value in column.items() if value is not None}
    headers = [key for key in PROFILE_WORDS if key in told]
    rows = [
        (
            column["name"],
            [_number(column.get(key)) for key in headers],
            bars(column.get("bars", ())),
        )
        for column in columns
    ]
    words = [PROFILE_WORDS[header] for header in headers]
    count, sampled = profile["rows"], profile.get("sampled", 0)
    part = sampled if sampled < count else 0
    return {"headers": words, "rows": rows, "count": count, "sampled": part}


def _told(column: dict[str, Any], feature: FeatureSpec | None) -> dict[str, Any]:
    """Leave out the counts that say nothing: NaN among whole numbers."""
    column = {**column, "median": column.get("quantiles", {}).get("0.5")}
    if feature is None:
        return column
    silent = {"nans": not feature.type.startswith("float")}
    return {key: value for key, value in column.items() if not silent.get(key)}


def _number(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
