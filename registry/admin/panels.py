"""Panels that apps above add to pages of the registry, which knows nothing of those apps.

Not for the registry's own parts of a page: its templates have them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import Model
    from django.http import HttpRequest

    Panel = Callable[[HttpRequest, Any], str]

_panels: dict[type[Model], list[Panel]] = {}


def panel(model: type[Model]) -> Callable[[Panel], Panel]:
    """Show what the decorated function returns (safe HTML or empty) on pages of ``model``."""

    def register(function: Panel) -> Panel:
        _panels.setdefault(model, []).append(function)
        return function

    return register


def render_panels(request: HttpRequest, obj: Model) -> list[str]:
    return [html for show in _panels.get(type(obj), ()) if (html := show(request, obj))]
