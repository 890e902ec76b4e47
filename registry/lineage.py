"""Where each feature comes from and what reads it: from columns of sources to services, and on.

Apps above add what reads features and services (``register``); the graph knows nothing of them.
Not for what a feature is made of: ``spec.lineage`` reads that off its definition.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db.models import F

from lib.errors import NotFound, did_you_mean
from registry.catalogue.entries import rows_in_use
from registry.choices import State
from registry.lineage_graph import Graph, Key, NodeKind, Role
from registry.models import DataSource, FeatureServiceMember, FeatureViewVersion
from registry.rows_kept import kept_rows
from registry.spec.references import BadReference, Reference, parse_major, parse_reference
from registry.spec.sql_lineage import EVERY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from registry.catalogue.entries import VersionRow
    from registry.models import FeatureView, Project

    #: What an app above adds: which features of a project, or of one view, are read by what. Of
    #: what there are ever more of it gives the newest, and the one of the name that is asked about.
    Links = Callable[[Project, str | None, str], Iterable["Link"]]


class LineageNotFound(NotFound):
    code = "lineage_not_found"


#: What a view is shown by: its features.
FEATURE_VIEW = "feature-view"
KINDS = (*NodeKind, FEATURE_VIEW)


class Link(NamedTuple):
    """One feature that something of an app above reads, and what is said of that."""

    reference: Reference
    key: Key
    facts: Mapping[str, Any]


#: By the kind of what reads.
_links: dict[str, Links] = {}


def register(kind: str, links: Links) -> None:
    """Add what an app knows to read features, all of one kind of its own."""
    _links[kind] = links


def known_kinds() -> tuple[str, ...]:
    return (*KINDS, *_links)


def readers_above(view: FeatureView) -> list[Link]:
    """Return what apps above know to read the view's features, with the features, in order."""
    found = [link for links in _links.values() for link in links(view.project, view.name, "")]
    return sorted(found, key=lambda each: (each.key, str(each.reference)))


def graph_of(project: Project, *, also: int | None = None, named: Key | None = None) -> Graph:
    """Return the lineage of all of a project that is in use, or would be.

    ``also`` is a version that is in it in any case, ``named`` what is asked about.
    """
    found = _Versions(project, also)
    graph = Graph(found.key)
    for name in DataSource.objects.filter(project=project).values_list("name", flat=True):
        graph.facts[Key(NodeKind.SOURCE, name)] = {}
    for row in found.rows:
        _add_version(graph, row, found)
    for service, view, pin, feature in _members(project):
        graph.add(
            found.key(Reference(view, pin or None, feature)),
            Key(NodeKind.SERVICE, service),
            Role.READS,
        )
    for kind, links in _links.items():
        for link in links(project, None, named.name if named and named.kind == kind else ""):
            graph.add(found.key(link.reference), link.key, Role.READS)
            graph.facts[link.key] = dict(link.facts)
    for kept in kept_rows(project, named=named):
        for fields, role in ((kept.fields, Role.READS), (kept.filters, Role.FILTER)):
            for field in fields:
                column = Key(NodeKind.COLUMN, str(field))
                graph.add(Key(NodeKind.SOURCE, field.source), column, Role.HAS)
                graph.add(column, kept.key, role)
        graph.facts[kept.key] = dict(kept.facts)
    _lead_from_each(graph, named)
    return graph


def _lead_from_each(graph: Graph, named: Key | None) -> None:
    """Let each column, the one asked about too, lead to what has every column of its source.

    Those of ``SELECT *`` are known by no names: any that its source has is among them.
    """
    columns = {key for key in graph.known() if key.kind == NodeKind.COLUMN}
    if named and named.kind == NodeKind.COLUMN:
        columns.add(named)
    for column in columns:
        source, _, name = column.name.partition(".")
        every = graph.below.get(Key(NodeKind.COLUMN, f"{source}.{EVERY}"))
        if every is None or name in ("", EVERY):
            continue
        graph.add(Key(NodeKind.SOURCE, source), column, Role.HAS)
        for lower, role in list(every.items()):
            graph.add(column, lower, role)


def starts_of(graph: Graph, kind: str, name: str) -> list[Key]:
    """Return what a name means in a graph: of a view its features as it is read by default.

    :raises LineageNotFound: there is no such thing; names the nearest.
    """
    if kind not in known_kinds():
        hint = did_you_mean(kind, known_kinds())
        raise LineageNotFound(f"there is no lineage of a {kind!r}.{hint}")
    if kind == FEATURE_VIEW:
        return _features_of(graph, name)
    key = _meant(graph, Key(kind, name))
    if not graph.has(key):
        names = (each.name for each in graph.known() if each.kind == kind)
        raise LineageNotFound(f"there is no {kind} {name!r}.{did_you_mean(name, names)}")
    return [key]


def _meant(graph: Graph, key: Key) -> Key:
    """``spend@1.0.0:sum`` is ``spend:sum`` where that version is the default."""
    if key.kind != NodeKind.FEATURE or graph.has(key):
        return key
    try:
        return graph.resolve(parse_reference(key.name))
    except BadReference:
        return key


def _features_of(graph: Graph, name: str) -> list[Key]:
    features: defaultdict[str, list[Key]] = defaultdict(list)
    for key in graph.facts:
        if key.kind == NodeKind.FEATURE:
            features[key.name.partition(":")[0]].append(key)
    if name in features:
        return sorted(features[name])
    # Without a default it is read by the numbers of its versions.
    if found := [key for view, keys in features.items() if view.partition("@")[0] == name
                 for key in keys]:  # fmt: skip
        return sorted(found)
    hint = did_you_mean(name, features)
    raise LineageNotFound(f"there is no {FEATURE_VIEW} {name!r}.{hint}")


def _add_version(graph: Graph, row: VersionRow, found: _Versions) -> None:
    for feature in row.words.features:
        key = Key(NodeKind.FEATURE, row.reference(feature.name))
        graph.facts[key] = {
            "type": feature.type,
            "sensitivity": feature.sensitivity,
            "state": row.state,
            "version": str(row.number) if row.number else None,
            "stored": row.words.is_stored,
        }
        origin = feature.origin
        own = row.words.source
        for fields, role in ((origin.fields(own), Role.VALUE), (origin.filters(own), Role.FILTER)):
            for field in fields:
                upper = Key(NodeKind.COLUMN, str(field))
                graph.add(Key(NodeKind.SOURCE, field.source), upper, Role.HAS)
                graph.add(upper, key, role)
        for reference in origin.features:
            graph.add(found.key(reference), key, Role.VALUE)


def _members(project: Project) -> Iterator[tuple[str, str, str, str]]:
    members = FeatureServiceMember.objects.filter(
        service_version__feature_service__project=project,
        service_version__feature_service__current=F("service_version"),
    )
    service = "service_version__feature_service__name"
    yield from members.order_by(service, "position").values_list(
        service, "feature_view__name", "pin", "feature"
    )


class _Versions:
    """The versions of a project that are in use, and which of them references read now."""

    def __init__(self, project: Project, also: int | None) -> None:
        self.rows = rows_in_use({project.pk}, also=also)
        self._by_view: defaultdict[str, list[VersionRow]] = defaultdict(list)
        for row in self.rows:
            self._by_view[row.view].append(row)
        self._found: dict[tuple[str, str | None], VersionRow | None] = {}

    def key(self, reference: Reference) -> Key:
        """Return the feature that a reference reads; what cannot be had goes as it is written."""
        named = reference.view, reference.pin
        if named not in self._found:
            self._found[named] = self._resolved(*named)
        row = self._found[named]
        text = row.reference(reference.feature) if row else str(reference)
        return Key(NodeKind.FEATURE, text)

    def _resolved(self, view: str, pin: str | None) -> VersionRow | None:
        rows = self._by_view[view]
        if pin is None:
            return next((row for row in rows if row.is_default), None) or _alone(rows)
        major = parse_major(pin)
        if major is None:
            return next((row for row in rows if str(row.number) == pin), None)
        of_major = [row for row in rows if row.number and row.number.major == major]
        if len(of_major) < 2:
            return _alone(of_major)
        versions = FeatureViewVersion.objects.filter(pk__in=[row.pk for row in of_major])
        versions = versions.select_related("table").defer("packet")
        ready = {version.pk for version in versions if version.is_ready}
        return max(of_major, key=lambda row: (row.pk in ready, row.number))


def _alone(rows: Sequence[VersionRow]) -> VersionRow | None:
    """Return what speaks for a view without a default: the newest."""
    return max(
        rows,
        key=lambda row: (row.state != State.RETIRED, row.state == State.DRAFT, row.number or ()),
        default=None,
    )
