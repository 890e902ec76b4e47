"""A graph of what is made of what: its things, and what is around some of them. [pure]

Not for what there is (``lineage``), nor for what a feature is made of (``spec.lineage``).
"""

from __future__ import annotations

import re
from collections import defaultdict
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from registry.spec.references import Reference

#: Steps each way: views may read views that read others, and each is one step more.
MAX_DEPTH = 50


class NodeKind(StrEnum):
    """What the registry itself knows of; apps above add kinds of their own."""

    SOURCE = "data-source"
    COLUMN = "column"
    FEATURE = "feature"
    SERVICE = "feature-service"


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

    def goes_on(self, steps: Sequence[Step], *, up: int, down: int) -> bool:
        """Return whether more lies beyond the steps that ``around`` gave for the same depths."""
        met = {step.key for step in steps}
        ends = ((self.above, -up), (self.below, down))
        return any(
            other not in met
            for next_to, far in ends
            if far
            for step in steps
            if step.distance == far
            for other in next_to.get(step.key, ())
        )

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
