"""What requests for features share, online and historical: reading JSON, asking for something.

[pure] Not for what each may say: each read's own ``request`` says that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from lib.decoding import json_reader
from lib.errors import Invalid, did_you_mean
from lib.json_bodies import UNREADABLE, why_unreadable

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")
_read_keys = json_reader(dict[str, msgspec.Raw])
#: Characters of a key that a message repeats.
SHOWN_LENGTH = 100


class BadRequest(Invalid):
    code = "invalid_request"


def read_body(body: bytes, decoder: msgspec.json.Decoder[T], *, what: str, valid: str = "") -> T:
    """Read a request for ``what``; ``valid`` says what its values can be, where that needs words.

    :raises BadRequest: it is not JSON, has an unknown key or a wrong type.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as exc:
        reason = _unknown_key(body, decoder.type) or f"the body is not a {what} request: {exc}."
        raise BadRequest(f"{reason} {valid}".strip()) from exc
    except UNREADABLE as exc:
        raise BadRequest(f"the body is not JSON: {why_unreadable(exc)}.") from exc


def check_asked(features: Sequence[str] | None, feature_service: str | None) -> None:
    """Return if a request asks for features or for a service.

    :raises BadRequest: for nothing or for both, or for a name no service can have.
    """
    if bool(features) == (feature_service is not None):
        raise BadRequest(
            'send either "features", as in ["view:feature"], or "feature_service", as in "name".'
        )
    if "\x00" in (feature_service or ""):
        raise BadRequest(f"feature_service {feature_service!r} holds a NUL; no name has one.")


def _unknown_key(body: bytes, request: Any) -> str:
    """Say which key the request does not have; empty where it has all of them."""
    try:
        sent = _read_keys(body)
    except UNREADABLE:  # no object at all or, further on, no JSON
        return ""
    known = request.__struct_fields__
    unknown = sorted(set(sent) - set(known))
    if not unknown:
        return ""
    key = unknown[0][:SHOWN_LENGTH]
    return f"unknown key {key!r} in the body.{did_you_mean(key, known)}"
