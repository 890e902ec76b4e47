"""What a request says: who wrote something, and a comment.

Not for rights: ``access`` has those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from lib.bodies import body_reader
from registry import access
from registry.authentication import token_of

if TYPE_CHECKING:
    from rest_framework.request import Request


def editor_ids(request: Request) -> frozenset[int]:
    """Return who counts as having written this: the user, and whoever made the token."""
    token = token_of(request)
    return frozenset({access.acting_user(request).pk, *([token.created_by_id] if token else [])})


class CommentInput(msgspec.Struct, forbid_unknown_fields=True):
    comment: str = ""


read_comment = body_reader(CommentInput, '{"comment": "…"}')
