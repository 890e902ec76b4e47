"""The admin's first page: lays out what the apps say waits, runs, failed and happened last.

Not for what a tile or a card says: each app registers its own, see ``registry.admin.panels``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from registry.admin.panels import Card, Tile, overview_parts
from registry.admin.scope import projects_with

if TYPE_CHECKING:
    from django.http import HttpRequest


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add what the page shows to the admin's context; no part for people without a project."""
    if not projects_with(request):
        return context | {"has_projects": False}
    parts = overview_parts(request)
    cards = [part for part in parts if isinstance(part, Card)]
    return context | {
        "has_projects": True,
        "tiles": [part for part in parts if isinstance(part, Tile)],
        "main": [card.html for card in cards if not card.is_side],
        "side": [card.html for card in cards if card.is_side],
    }
