"""The order in which views are taken that are sent together: what is read before what reads it.

Not for what a view reads (``reads``).
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, cast

from registry.choices import Kind, State
from registry.newest import newest_of
from registry.operations.registration.meant import is_served, registered_in
from registry.spec.references import parse_reference

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from registry.operations.registration.applied import Application
    from registry.reading.parsing import Definition
    from registry.spec.model import FeatureViewSpec


def in_reading_order(
    application: Application, definitions: Sequence[Definition]
) -> list[Definition]:
    """Return the definitions, views after those they wait for; views in a circle are refused.

    The others stay in their order. Nobody waits for what is approved.
    """
    views = {each.spec.name: each for each in definitions if each.kind is Kind.FEATURE_VIEW}
    if not any(_spec(each).views for each in views.values()):
        return list(definitions)
    walk = _Walk(application, views)
    for name in views:
        walk.visit(name)
    places = {name: place for place, name in enumerate(walk.order)}
    sent = (each for each in definitions if each.kind is Kind.FEATURE_VIEW)
    ordered = iter(sorted(sent, key=lambda each: places[each.spec.name]))
    return [next(ordered) if each.kind is Kind.FEATURE_VIEW else each for each in definitions]


class _Walk:
    """A walk from views to what they wait for, which notes each name after all of that."""

    def __init__(self, application: Application, views: Mapping[str, Definition]) -> None:
        self._application, self._views = application, views
        self._known = registered_in(application.standing)
        self._met: set[str] = set()
        self.order: list[str] = []

    def visit(self, name: str) -> None:
        if name in self._met:
            return
        path, open_ends = [name], [iter(self._waits_for(name))]
        self._met.add(name)
        while path:
            below = next(open_ends[-1], None)
            if below is None:
                self.order.append(path.pop())
                open_ends.pop()
            elif below in path:
                self._refuse(path[path.index(below) :])
            elif below not in self._met:
                self._met.add(below)
                path.append(below)
                open_ends.append(iter(self._waits_for(below)))

    def _waits_for(self, name: str) -> list[str]:
        """Return the views that a view as it is sent, else its open draft, has to wait for."""
        if (sent := self._views.get(name)) is not None:
            lists = [list(map(parse_reference, each.features)) for each in _spec(sent).views]
            return [found[0].view for found in lists if not is_served(found, self._known)]
        there = self._application.standing.versions.get(name, ())
        draft = newest_of(each for each in there if each.state == State.DRAFT)
        reads = draft.spec.reads if draft is not None else ()
        return [each.view for each in reads if not each.is_settled]

    def _refuse(self, circle: list[str]) -> None:
        """Note it where one of the circle reads the next; one alone is told of elsewhere."""
        sent = next((name for name in circle if name in self._views), "")
        if len(circle) < 2 or not sent:
            return
        place = circle.index(sent)
        names = [*circle[place:], *circle[:place], sent]
        said = ", ".join(f"{one} reads {other}" for one, other in pairwise(names))
        message = f"{said}: each would wait for the other to be approved first; take one out."
        definition = self._views[sent]
        read = [parse_reference(each.features[0]).view for each in _spec(definition).views]
        path = ("views", read.index(names[1]), "features", 0)
        self._application.refuse(definition.problem(path, message))
        self._application.refused_views |= set(circle)


def _spec(definition: Definition) -> FeatureViewSpec:
    return cast("FeatureViewSpec", definition.spec)
