"""What a get-online-features request may say, read strictly from JSON. [pure]

Not for whether its features and keys exist: ``plans`` and ``read`` say that.
"""

from __future__ import annotations

from typing import Any

import msgspec

from lib.decoding import converter
from lib.media_types import JSON
from serving.request_body import BadRequest, check_asked, read_json


class OnlineRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``entities`` is columnar: entity column → one value a row."""

    entities: dict[str, list[Any]]
    features: list[str] | None = None
    feature_service: str | None = None
    full_feature_names: bool = False
    include_feature_view_version_metadata: bool = False
    #: Write int64 as text, and read keys of int64 so too: JavaScript's numbers do not hold them.
    int64_as_text: bool = False


_read = converter(OnlineRequest)


def parse_request(body: bytes, *, form: str = JSON) -> OnlineRequest:
    """Read a request whose answer is to have a ``form``.

    :raises BadRequest: it is not JSON, has an unknown key or a wrong type, or asks for nothing.
    """
    request = read_json(body, OnlineRequest, _read, what="get-online-features")
    if request.int64_as_text and form != JSON:
        raise BadRequest(f"int64_as_text is for {JSON}: {form} has whole numbers. Leave one out.")
    check_asked(request.features, request.feature_service)
    return request
