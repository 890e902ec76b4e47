"""Where each feature comes from and what reads it: from columns of sources to services, and on.

Apps above add what reads features and services (``register``); the graph knows nothing of them.
Not for what a feature is made of: ``spec.lineage`` reads that off its definition.
"""

from __future__ import annotations

import re
from collections import defaultdict
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db.models import F

from lib.errors import NotFound, did_you_mean
from registry.choices import State
from registry.entries import rows_in_use
from registry.models import DataSource, FeatureServiceMember, FeatureViewVersion
from registry.spec.references import BadReference, Reference, parse_major, parse_reference

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from registry.entries import VersionRow
    from registry.models import FeatureView, Project

    #: What an app above adds: which features of a project, or of one view, are read by what.
    Links = Callable[[Project, str | None], Iterable[tuple[Reference, "Key"]]]

MAX_DEPTH = 10


class LineageNotFound(NotFound):
    code = "lineage_not_found"


class NodeKind(StrEnum):
    """What the registry itself knows of; apps above add kinds of their own."""

    SOURCE = "data-source"
    COLUMN = "column"
    FEATURE = "feature"
    SERVICE = "feature-service"


#: What a view is shown by: its features.
FEATURE_VIEW = "feature-view"
KINDS = (*NodeKind, FEATURE_VIEW)


class Role(StrEnum):
    """What one thing is to another that is made of it or reads it."""

    HAS = "has"
    VALUE = "value"
    #: It decides which rows there are.
    FILTER = "filter"
    READS = "reads"


class Key(NamedTuple):
    """One thing of a project, by what it is and its name: ``purchases.amount``, ``spend:sum``."""

    kind: str
    name: str


class Step(NamedTuple):
    """One thing that was met, how far from where: above it is below zero, what it is made of."""

    key: Key
    distance: int
    #: The nearer ones through which it was met, each with what it is to the other.
    via: list[tuple[Key, Role]]


class Graph:
    """Everything of a project that is made of something, or that something is made of."""

    def __init__(self, resolve: Callable[[Reference], Key]) -> None:
        self.resolve = resolve
        #: What is said of each, by key.
        self.facts: dict[Key, dict[str, Any]] = {}
        self.above: defaultdict[Key, dict[Key, Role]] = defaultdict(dict)
        self.below: defaultdict[Key, dict[Key, Role]] = defaultdict(dict)

    def add(self, upper: Key, lower: Key, role: Role) -> None:
        # A column that is read and filtered by is read.
        kept = self.below[upper].get(lower)
        self.below[upper][lower] = self.above[lower][upper] = (
            role if kept is None or kept == Role.FILTER else kept
        )

    def has(self, key: Key) -> bool:
        return key in self.facts or key in self.above or key in self.below

    def only(self, views: Collection[str]) -> Graph:
        """Return what is told to whoever is told of these views: they, and what they are made of.

        What reads them may read others too, and is left out.
        """
        features = [key for key in self.known() if _is_of(key, views)]
        kept = {step.key for step in self.around(features, up=MAX_DEPTH, down=0)}
        kept = {key for key in kept if key.kind != NodeKind.FEATURE or _is_of(key, views)}
        graph = Graph(self.resolve)
        graph.facts = {key: said for key, said in self.facts.items() if key in kept}
        for upper in kept:
            for lower, role in self.below.get(upper, {}).items():
                if lower in kept:
                    graph.add(upper, lower, role)
        return graph

    def known(self) -> set[Key]:
        return {*self.facts, *self.above, *self.below}

    def around(self, starts: Sequence[Key], *, up: int, down: int) -> list[Step]:
        """Return the starts, and what is so many steps above and below them, nearest first."""
        met = {key: Step(key, 0, []) for key in starts}
        self._walk(starts, met, self.above, -1, up)
        self._walk(starts, met, self.below, 1, down)
        return sorted(met.values(), key=lambda step: (abs(step.distance), step.distance, step.key))

    @staticmethod
    def _walk(
        starts: Sequence[Key],
        met: dict[Key, Step],
        next_to: dict[Key, dict[Key, Role]],
        direction: int,
        depth: int,
    ) -> None:
        edge = list(starts)
        for far in range(1, depth + 1):
            reached: dict[Key, Step] = {}
            for key in edge:
                for other, role in next_to.get(key, {}).items():
                    if other not in met:
                        step = reached.setdefault(other, Step(other, direction * far, []))
                        step.via.append((key, role))
            met |= reached
            edge = list(reached)


def _is_of(key: Key, views: Collection[str]) -> bool:
    return key.kind == NodeKind.FEATURE and re.split("[@:]", key.name)[0] in views


#: By the kind of what reads.
_links: dict[str, Links] = {}


def register(kind: str, links: Links) -> None:
    """Add what an app knows to read features, all of one kind of its own."""
    _links[kind] = links


def known_kinds() -> tuple[str, ...]:
    return (*KINDS, *_links)


def readers_above(view: FeatureView) -> list[tuple[Key, Reference]]:
    """Return what apps above know to read the view's features, with the features, in order."""
    found = {
        (key, reference)
        for links in _links.values()
        for reference, key in links(view.project, view.name)
    }
    return sorted(found, key=lambda each: (each[0], str(each[1])))


def graph_of(project: Project, *, also: int | None = None) -> Graph:
    """Return the lineage of all of a project that is in use, or would be; ``also`` of a version."""
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
    for links in _links.values():
        for reference, lower in links(project, None):
            graph.add(found.key(reference), lower, Role.READS)
    return graph


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
        for columns, role in ((origin.columns, Role.VALUE), (origin.chosen_by, Role.FILTER)):
            for column in columns:
                upper = Key(NodeKind.COLUMN, f"{row.words.source}.{column}")
                graph.add(Key(NodeKind.SOURCE, row.words.source), upper, Role.HAS)
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
