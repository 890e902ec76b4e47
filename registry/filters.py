"""Searching the catalogue by name, tag, owner, entity, sensitivity and state.

Tags and specs are JSON of small tables, so they are compared in Python: the same on SQLite and
PostgreSQL, and exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from registry.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FILTERS = ("q", "tag", "owner", "entity", "sensitivity", "state", "limit", "offset")
MAX_LIMIT = 500


class BadFilter(Invalid):
    code = "invalid_filter"


def matching(rows: Iterable[dict[str, Any]], parameters: Mapping[str, str]) -> list[dict[str, Any]]:
    """Keep the described objects that fit every filter given; a filter an object has no field for drops it."""
    kept = list(rows)
    for name, fits in _FITS.items():
        if value := parameters.get(name):
            kept = [row for row in kept if fits(row, value)]
    return kept


def page_bounds(parameters: Mapping[str, str]) -> tuple[int, int]:
    """Return (limit, offset).

    :raises BadFilter: not whole numbers in range.
    """
    try:
        limit, offset = int(parameters.get("limit", 50)), int(parameters.get("offset", 0))
    except ValueError as exc:
        raise BadFilter("limit and offset are whole numbers.") from exc
    if not (1 <= limit <= MAX_LIMIT and offset >= 0):
        raise BadFilter(
            f"limit is 1 to {MAX_LIMIT} and offset at least 0, not {limit} and {offset}."
        )
    return limit, offset


def _has_tag(row: dict[str, Any], value: str) -> bool:
    """``tag=domain`` asks for the key, ``tag=domain:payments`` for the pair."""
    key, _, wanted = value.partition(":")
    tags = row.get("tags") or {}
    return key in tags and (not wanted or str(tags[key]) == wanted)


_FITS = {
    "q": lambda row, value: (
        value.lower() in f"{row['name']} {row.get('description', '')} {_feature_names(row)}".lower()
    ),
    "tag": _has_tag,
    "owner": lambda row, value: row.get("owner") == value,
    "entity": lambda row, value: value in row.get("entities", ()),
    "sensitivity": lambda row, value: any(f.get("sensitivity") == value for f in _features(row)),
    "state": lambda row, value: any(v["state"] == value for v in row.get("versions", ())),
}


def _features(row: dict[str, Any]) -> list[dict[str, Any]]:
    return [feature for feature in row.get("features", ()) if isinstance(feature, dict)]


def _feature_names(row: dict[str, Any]) -> str:
    return " ".join(feature["name"] for feature in _features(row))
