"""What a get-feature-context request may say, read strictly from JSON. [pure]

Not for whether its features and keys exist: the online read says that.
"""

from __future__ import annotations

from typing import Any

import msgspec

from lib.decoding import converter
from serving.request_body import BadRequest, check_asked, read_json

#: Entities of one request: a prompt is about one, or a few.
MAX_ENTITIES = 100
#: Above any model's window.
MAX_TOKENS = 10_000_000


class ContextRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``entities`` is columnar, as in an online read; ``max_tokens`` of each entity's text."""

    entities: dict[str, list[Any]]
    features: list[str] | None = None
    feature_service: str | None = None
    max_tokens: int | None = None


_read = converter(ContextRequest)


def parse_request(body: bytes) -> ContextRequest:
    """Read a request.

    :raises BadRequest: it is not JSON, has an unknown key or a wrong type, asks for nothing, or
        for less than a token.
    """
    request = read_json(body, ContextRequest, _read, what="get-feature-context")
    check_asked(request.features, request.feature_service)
    most = request.max_tokens
    if most is not None and not 1 <= most <= MAX_TOKENS:
        raise BadRequest(
            f"max_tokens is {most}: a budget is 1 to {MAX_TOKENS} tokens of each entity's text."
            " Leave it out to have all of it."
        )
    rows = max(map(len, request.entities.values()), default=0)
    if rows > MAX_ENTITIES:
        raise BadRequest(
            f"{rows} entity rows; one call tells of at most {MAX_ENTITIES}. Send several, or ask"
            " get-online-features for values."
        )
    return request
