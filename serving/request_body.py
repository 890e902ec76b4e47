"""What requests for features share, online and historical: reading JSON, asking for something.

[pure] Not for what each may say: each read's own ``request`` says that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from lib.errors import SHOWN_LENGTH, Invalid, did_you_mean
from lib.json_bodies import UNREADABLE, decode, why_unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T", bound=msgspec.Struct)


class BadRequest(Invalid):
    code = "invalid_request"


def read_json(
    body: bytes, request: type[T], read: Callable[[Any], T], *, what: str, valid: str = ""
) -> T:
    """Read a request for ``what`` with ``read``, its converter.

    ``valid`` says what its values can be, where that needs words.

    :raises BadRequest: it is not JSON, has an unknown key, one twice, or a wrong type.
    """
    try:
        sent = decode(body)
    except UNREADABLE as exc:
        raise BadRequest(f"the body is not JSON: {why_unreadable(exc)}.") from exc
    try:
        return read(sent)
    except msgspec.ValidationError as exc:
        reason = _unknown_key(sent, request) or f"the body is not a {what} request: {exc}."
        raise BadRequest(f"{reason} {valid}".strip()) from exc


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


def _unknown_key(sent: object, request: type[msgspec.Struct]) -> str:
    """Say which key the request does not have; empty where it has all of them."""
    known = request.__struct_fields__
    unknown = sorted(set(sent) - set(known)) if isinstance(sent, dict) else []
    if not unknown:
        return ""
    key = unknown[0][:SHOWN_LENGTH]
    return f"unknown key {key!r} in the body.{did_you_mean(key, known)}"
