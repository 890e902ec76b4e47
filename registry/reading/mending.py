"""Definitions with mistakes, mended so far that the rules can judge the rest of them. [pure]

Not for finding the mistakes (``shape``, ``rules``) or telling them (``parsing``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from registry.choices import Kind
from registry.spec.sources.kinds import SOURCE_KINDS

if TYPE_CHECKING:
    from registry.reading.yaml_documents import Path

#: What stands in for required parts that cannot be read, while the rules judge the others.
STAND_INS: dict[Kind, dict[str, Any]] = {
    Kind.ENTITY: {"name": "a", "join_keys": [{"name": "a", "type": "string"}]},
    Kind.DATA_SOURCE: {"name": "a", "event_timestamp": {"column": ""}},
    Kind.FEATURE_VIEW: {
        "name": "a",
        "entities": ["a"],
        "source": "a",
        "features": [{"name": "a", "type": "string"}],
    },
    Kind.ON_DEMAND_FEATURE_VIEW: {
        "name": "a",
        "inputs": {"request": {"a": "string"}},
        "features": [{"name": "a", "type": "string", "sql": "1"}],
    },
    Kind.FEATURE_SERVICE: {"name": "a", "features": ["a:a"]},
}
#: A key of a document or, with an index, one item of its list.
Part = tuple[str, int | None]


def stand_ins(kind: Kind, body: dict[str, Any]) -> dict[str, Any]:
    """Return what a document of the kind must have; a source by the kind of source it is."""
    if kind is not Kind.DATA_SOURCE:
        return STAND_INS[kind]
    given = body.get("type")
    word = given if isinstance(given, str) and given in SOURCE_KINDS else next(iter(SOURCE_KINDS))
    return STAND_INS[kind] | {"type": word} | SOURCE_KINDS[word].example


def part_of(path: Path) -> Part:
    index = path[1] if len(path) > 1 else None
    return str(path[0]), index if isinstance(index, int) else None


def mended(kind: Kind, body: dict[str, Any], wrong: set[Part]) -> dict[str, Any]:
    """Return a document that can be read: wrong parts left out or, if required, stood in for.

    So the rules can judge the rest of it; what they say about the wrong parts does not count.
    """
    instead = stand_ins(kind, body)
    kept = {key: list(each) if isinstance(each, list) else each for key, each in body.items()}
    for key, index in wrong:
        if key not in instead:
            kept.pop(key, None)
        elif index is None or not isinstance(instead[key], list):
            kept[key] = instead[key]
        elif (key, None) not in wrong:
            kept[key][index] = instead[key][0]
    if ("source", None) in wrong:  # its name is what the SQL is checked against
        kept.pop("sql", None)
    return kept
