"""Searching the catalogue by name, tag, owner, entity, sensitivity and state.

Not for pages of other tables. Tags and specs are JSON of small tables, so they are compared in
Python: the same on SQLite and PostgreSQL, and exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lib.parameters import one_of
from registry.choices import Sensitivity, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

#: Filters whose value is one of a few words: a word that is none of them is a mistake, not a miss.
WORDS: dict[str, type[Sensitivity] | type[State]] = {"sensitivity": Sensitivity, "state": State}


def is_searched(parameters: Mapping[str, str]) -> bool:
    """Return whether any of the filters is given."""
    return any(parameters.get(name) for name in _FITS)


def matching(rows: Iterable[dict[str, Any]], parameters: Mapping[str, str]) -> list[dict[str, Any]]:
    """Keep the described objects that fit every filter given; without the field none fits.

    :raises BadFilter: a state or sensitivity there is not.
    """
    for name, known in WORDS.items():
        one_of(parameters, name, known)
    kept = list(rows)
    for name, fits in _FITS.items():
        if value := parameters.get(name):
            kept = [row for row in kept if fits(row, value)]
    return kept


def _has_tag(row: dict[str, Any], value: str) -> bool:
    """``tag=domain`` asks for the key, ``tag=domain:payments`` for the pair."""
    key, _, wanted = value.partition(":")
    tags = row.get("tags") or {}
    return key in tags and (not wanted or str(tags[key]) == wanted)


def _says(row: dict[str, Any], value: str) -> bool:
    names = " ".join(feature["name"] for feature in _features(row))
    return value.lower() in f"{row['name']} {row.get('description', '')} {names}".lower()


def _features(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a view's features; a service's are references, which have nothing to search in."""
    return [feature for feature in row.get("features", ()) if isinstance(feature, dict)]


_FITS: dict[str, Callable[[dict[str, Any], str], bool]] = {
    "q": _says,
    "tag": _has_tag,
    "owner": lambda row, value: row.get("owner") == value,
    "entity": lambda row, value: value in row.get("entities", ()),
    "sensitivity": lambda row, value: any(f.get("sensitivity") == value for f in _features(row)),
    "state": lambda row, value: any(v["state"] == value for v in row.get("versions", ())),
}
