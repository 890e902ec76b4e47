"""What a request says of who wrote something.

Not for rights: ``access`` has those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry import access
from registry.authentication import token_of

if TYPE_CHECKING:
    from rest_framework.request import Request


def editor_ids(request: Request) -> frozenset[int]:
    """Return who counts as having written this: the user, and whoever made the token."""
    token = token_of(request)
    return frozenset({access.acting_user(request).pk, *([token.created_by_id] if token else [])})
