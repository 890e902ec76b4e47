"""What apps add to pages that are not theirs: panels of an object's page, parts of the overview.

Whoever shows such a page knows nothing of the apps that add to it. Not for the registry's own parts
of an object's page: its templates have them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from django.db.models import Model
    from django.http import HttpRequest

    Panel = Callable[[HttpRequest, Any], str]
    Overview = Callable[[HttpRequest], Iterable["Tile | Card"]]


class Tile(NamedTuple):
    """One figure in the overview's top row, and the list it leads to; low ranks come first.

    Ranks go from what waits for a person (10), is under way (20) or went wrong (30) to how things
    stand (40). ``of`` is what the value is a part of; a bad one is shown as such.
    """

    rank: int
    title: str
    icon: str
    url: str
    value: int
    hint: str
    of: int | None = None
    is_bad: bool = False


class Card(NamedTuple):
    """One card of the overview, as safe HTML, in its main or side column; low ranks come first."""

    rank: int
    html: str
    is_side: bool = False


_panels: dict[type[Model], list[Panel]] = {}
_wide_panels: dict[type[Model], list[Panel]] = {}
_overviews: list[Overview] = []


def panel(model: type[Model], *, is_wide: bool = False) -> Callable[[Panel], Panel]:
    """Show what the decorated function returns (safe HTML or empty) on pages of ``model``.

    A wide one stands in the main column, where the page has a place for it.
    """

    def register(function: Panel) -> Panel:
        (_wide_panels if is_wide else _panels).setdefault(model, []).append(function)
        return function

    return register


def render_panels(request: HttpRequest, obj: Model, *, is_wide: bool = False) -> list[str]:
    panels = (_wide_panels if is_wide else _panels).get(type(obj), ())
    return [html for show in panels if (html := show(request, obj))]


def overview(function: Overview) -> Overview:
    """Show the tiles and cards that the decorated function gives on the admin's first page."""
    _overviews.append(function)
    return function


def overview_parts(request: HttpRequest) -> list[Tile | Card]:
    """Return what all apps show this person on the first page, by rank."""
    parts = (part for show in _overviews for part in show(request))
    return sorted(parts, key=lambda part: part.rank)
