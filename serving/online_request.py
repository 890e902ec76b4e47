"""What a get-online-features request may say, read strictly from JSON. [pure]

Not for whether its features and keys exist: ``plans`` and ``online`` say that.
"""

from __future__ import annotations

from typing import Any

import msgspec

from registry.errors import Invalid, did_you_mean


class BadRequestBody(Invalid):
    code = "invalid_request"


class OnlineRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``entities`` is columnar: entity column → one value a row."""

    entities: dict[str, list[Any]]
    features: list[str] | None = None
    feature_service: str | None = None
    full_feature_names: bool = False
    include_feature_view_version_metadata: bool = False


_decoder = msgspec.json.Decoder(OnlineRequest)


def parse_request(body: bytes) -> OnlineRequest:
    """Read a request.

    :raises BadRequestBody: it is not JSON, has an unknown key or a wrong type, or asks for nothing.
    """
    try:
        request = _decoder.decode(body)
    except msgspec.DecodeError as exc:
        raise BadRequestBody(_reason(body, exc)) from exc
    if bool(request.features) == (request.feature_service is not None):
        raise BadRequestBody(
            'send either "features", as in ["view:feature"], or "feature_service", as in "name".'
        )
    return request


def _reason(body: bytes, error: msgspec.DecodeError) -> str:
    if not isinstance(error, msgspec.ValidationError):
        return f"the body is not JSON: {error}."
    sent = msgspec.json.decode(body)
    known = OnlineRequest.__struct_fields__
    unknown = sorted(set(sent) - set(known)) if isinstance(sent, dict) else []
    if unknown:
        return f"unknown key {unknown[0]!r} in the body.{did_you_mean(unknown[0], known)}"
    return f"the body is not a get-online-features request: {error}."
