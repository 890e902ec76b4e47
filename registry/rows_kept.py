"""Rows of sources that apps above keep as a query gave them: which columns those are made of.

Apps register what they keep (``register``). Not for features that they keep (``lineage.register``),
nor for who may read such rows (``row_queries``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from registry.choices import SENSITIVE
from registry.spec.lineage import origins_of
from registry.spec.made_of import rank
from registry.spec.sql_lineage import EVERY, SourceField

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from registry.lineage_graph import Key
    from registry.models import Project
    from registry.spec.version_spec import VersionSpec

    #: What an app above keeps of a project, or of one source, and what of it is called so.
    Found = Callable[[Project, str | None, str], Iterable["KeptRows"]]


class KeptRows(NamedTuple):
    """Something that has rows of a source as a query gave them, and what is said of it.

    ``fields`` are the columns whose values are in its rows, one called ``*`` where it names none;
    ``filters`` those that decide which rows it has.
    """

    source: str
    fields: frozenset[SourceField]
    filters: frozenset[SourceField]
    key: Key
    facts: Mapping[str, Any]


def columns_kept(query: VersionSpec) -> dict[str, Any]:
    """Return what a query's rows are made of, to be stored beside it: read off its SQL once.

    Every look at a lineage asks for it of each query there is, and so does each submission.
    """
    source, origins = query.view.source, origins_of(query).values()
    made = frozenset[SourceField]().union(*(each.fields(source) for each in origins))
    chosen = frozenset[SourceField]().union(*(each.filters(source) for each in origins))
    said = {"fields": made or {_every(source)}, "filters": chosen}
    return {"source": source} | {name: sorted(map(list, each)) for name, each in said.items()}


def read_columns(said: Mapping[str, Any], key: Key, facts: Mapping[str, Any]) -> KeptRows:
    """Return what ``columns_kept`` gave of something that has such rows."""
    fields, filters = (
        frozenset(SourceField(*each) for each in said[name]) for name in ("fields", "filters")
    )
    return KeptRows(said["source"], fields, filters, key, facts)


#: By the kind of what keeps them.
_found: dict[str, Found] = {}


def register(kind: str, found: Found) -> None:
    """Add what an app keeps of rows of sources, all of one kind of its own."""
    _found[kind] = found


def kept_rows(
    project: Project, source: str | None = None, named: Key | None = None
) -> Iterator[KeptRows]:
    """Yield what is kept of a project's sources, or of one; what is ``named`` in any case."""
    for kind, found in _found.items():
        yield from found(project, source, named.name if named and named.kind == kind else "")


def kept_of_change(project: Project, old: VersionSpec | None, new: VersionSpec) -> list[str]:
    """Say what is kept of rows that a version makes others of: its source, or how sensitive it is.

    Of the first version of a view that is what it says is sensitive.
    """
    before = {each.name: each for each in old.all_sources} if old else {}
    moved = {s.name for s in new.all_sources if before.get(s.name, s) != s}
    raised = _raised(old, new)
    said = []
    for source in sorted(moved | {field.source for field in raised}):
        for kept in kept_rows(project, source):
            touched = (kept.fields | kept.filters) if source in moved else _touched(kept, raised)
            if touched:
                columns = ", ".join(sorted(field.column for field in touched))
                older = f" (and {kept.facts['older']:,} older)" if kept.facts.get("older") else ""
                said.append(f"{kept.key.kind} {kept.key.name}{older}: rows of {source} ({columns})")
    return said


def _raised(old: VersionSpec | None, new: VersionSpec) -> set[SourceField]:
    """Return the columns that a version makes sensitive, by which nothing was as sensitive before.

    Not by names of features: one may keep its name and be made of other columns.
    """
    before = _ranks(old) if old else {}
    return {
        field
        for field, level in _ranks(new).items()
        if all(before.get(one, -1) < level for one in (field, _every(field.source)))
    }


def _ranks(spec: VersionSpec) -> dict[SourceField, int]:
    """Return how sensitive the most sensitive feature is that each column's values are in."""
    origins, ranks = origins_of(spec), dict[SourceField, int]()
    for each in spec.features:
        if each.sensitivity in SENSITIVE and each.name in origins:
            for field in origins[each.name].fields(spec.view.source):
                ranks[field] = max(rank(each.sensitivity), ranks.get(field, -1))
    return ranks


def _touched(kept: KeptRows, fields: set[SourceField]) -> set[SourceField]:
    ours = kept.fields | kept.filters
    if _every(kept.source) in ours:
        return {field for field in fields if field.source == kept.source}
    if _every(kept.source) in fields:
        return {field for field in ours if field.source == kept.source}
    return {field for field in ours if field in fields}


def _every(source: str) -> SourceField:
    return SourceField(source, EVERY)
