"""What a request says: who wrote something, and small bodies of known shape.

Not for rights: ``access`` has those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from lib.bodies import BadBody, small_object
from lib.decoding import converter
from registry import access
from registry.authentication import token_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from rest_framework.request import Request

T = TypeVar("T", bound=msgspec.Struct)


def editor_ids(request: Request) -> frozenset[int]:
    """Return who counts as having written this: the user, and whoever made the token."""
    token = token_of(request)
    return frozenset({access.acting_user(request).pk, *([token.created_by_id] if token else [])})


def body_reader(kind: type[T], like: str) -> Callable[[Request], T]:
    """Return what reads a small JSON body as ``kind``; ``like`` is one in a refusal's words."""
    convert = converter(kind)

    def read(request: Request) -> T:
        try:
            return convert(small_object(request, kind.__struct_fields__))
        except msgspec.ValidationError as exc:
            raise BadBody(f"send {like}: {exc}.") from exc

    return read


class CommentInput(msgspec.Struct, forbid_unknown_fields=True):
    comment: str = ""


read_comment = body_reader(CommentInput, '{"comment": "…"}')
