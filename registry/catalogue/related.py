"""Which features are about the same as one: the same columns, tags and entities, alike in name.

Not for what is computed from what: ``lineage`` says that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from registry.catalogue.entries import entries

if TYPE_CHECKING:
    from registry.catalogue.entries import Entry
    from registry.models import Feature

MOST = 8
#: What each thing in common counts.
COLUMN, TAG, ENTITY, WORD = 6, 3, 1, 2
#: Sharing only an entity, as all of a view's neighbours do, is not related.
LEAST = 3


class Related(NamedTuple):
    """A feature that is about the same, and why."""

    entry: Entry
    reference: str
    why: list[str]


def related_to(feature: Feature) -> list[Related]:
    """Return the features most alike, the nearest first; those of other views before its own."""
    view = feature.version.feature_view
    known = entries({view.project_id})
    mine = next(
        (
            each
            for each in known
            if each.version.view_id == view.pk and each.feature.name == feature.name
        ),
        None,
    )
    if mine is None:
        return []
    found = []
    for other in known:
        if other is mine:
            continue
        score, why = _alike(mine, other)
        if score >= LEAST:
            found.append((score, other, why))
    found.sort(key=lambda each: (-each[0], each[1].feature.name, each[1].version.view))
    return [
        Related(other, other.version.reference(other.feature.name), why)
        for _, other, why in found[:MOST]
    ]


def _alike(mine: Entry, other: Entry) -> tuple[int, list[str]]:
    (version, feature), (near, found) = mine, other
    why, score = [], 0
    fields = feature.origin.fields(version.words.source)
    if columns := sorted(field.column for field in fields & found.origin.fields(near.words.source)):
        score += COLUMN
        why.append(f"from {', '.join(columns[:3])}")
    if tags := sorted({*version.words.tags} & {*near.words.tags}):
        score += TAG
        why.append(", ".join(tags[:3]))
    words = set(_significant(feature.named)) & set(_significant(found.named))
    if words:
        score += WORD * len(words)
        why.append(f"also {', '.join(sorted(words)[:3])}")
    if entities := {*version.words.entities} & {*near.words.entities}:
        score += ENTITY
        why += sorted(entities) if not why else []
    return score, why


def _significant(named: str) -> list[str]:
    """Return the words of a name that say something: no numbers, windows or single letters."""
    return [each for each in named.split() if len(each) > 2 and not any(c.isdigit() for c in each)]
