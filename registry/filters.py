"""Searching the catalogue by name, tag, owner, entity, sensitivity and state.

Not for pages of other tables. Tags and specs are JSON of small tables, so they are compared in
Python: the same on SQLite and PostgreSQL, and exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from registry.choices import Sensitivity, State
from registry.errors import Invalid, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

MAX_LIMIT = 500
#: More rows than any list has; keeps an offset inside what databases can count to.
MAX_OFFSET = 1_000_000_000
#: Filters whose value is one of a few words: a word that is none of them is a mistake, not a miss.
WORDS: dict[str, type[Sensitivity] | type[State]] = {"sensitivity": Sensitivity, "state": State}
FLAGS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


class BadFilter(Invalid):
    code = "invalid_filter"


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


def stored_text(parameters: Mapping[str, str], name: str) -> str:
    """Return a parameter that a query compares with stored text; empty when absent.

    :raises BadFilter: it holds a NUL, which no stored text can, so databases refuse the question.
    """
    value = parameters.get(name, "")
    if "\x00" in value:
        raise BadFilter(
            f"{name}={value[:100]!r} holds a NUL, which no text here has; leave it out."
        )
    return value


def one_of(parameters: Mapping[str, str], name: str, known: Iterable[str]) -> str:
    """Return a parameter that is one of a few words; empty when absent.

    :raises BadFilter: another word, which would find nothing; names the nearest.
    """
    value = parameters.get(name, "")
    if value and value not in (valid := list(known)):
        raise BadFilter(f"unknown {name} {value[:100]!r}.{did_you_mean(value[:100], valid)}")
    return value


def page_bounds(parameters: Mapping[str, str]) -> tuple[int, int]:
    """Return (limit, offset).

    :raises BadFilter: not whole numbers in range.
    """
    try:
        limit, offset = int(parameters.get("limit", 50)), int(parameters.get("offset", 0))
    except ValueError as exc:
        raise BadFilter("limit and offset are whole numbers.") from exc
    if not (1 <= limit <= MAX_LIMIT and 0 <= offset <= MAX_OFFSET):
        raise BadFilter(f"limit is 1 to {MAX_LIMIT} and offset at least 0; see the count.")
    return limit, offset


def flag(parameters: Mapping[str, str], name: str) -> bool:
    """Return a yes-or-no parameter, False when absent.

    :raises BadFilter: neither; a plan misread as an order would register what was only asked about.
    """
    value = parameters.get(name, "false").lower()
    if value not in FLAGS:
        raise BadFilter(f"{name}={value!r}: write true or false.")
    return FLAGS[value]


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
