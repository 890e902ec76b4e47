"""Errors as Feast's own client raises them: its classes, for the calls that it makes.

Not for what an error is: ``problem`` says that, and everybody else hears it as problem+json.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

import msgspec
from django.http import HttpResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest
    from rest_framework.request import Request

#: What its client is built on. Others are too, so this alone says nothing.
LIBRARY: Final = "python-requests/"
MODULE: Final = "feast.errors"
#: The class of a refusal, by its code.
BY_CODE: Final = {
    "feature_service_not_found": "FeatureServiceNotFoundException",
    "feature_name_collision": "FeatureNameCollisionError",
    "missing_join_key": "EntityNotFoundException",
    "project_not_found": "ProjectNotFoundException",
    "reference_not_found": "FeatureViewNotFoundException",
    "unknown_entity_column": "EntityNotFoundException",
    "version_retired": "FeatureViewVersionNotFound",
}
#: That of a reference, by the part of it that there is none of.
BY_PART: Final = {
    "version": "FeatureViewVersionNotFound",
    "feature": "SpecifiedFeaturesNotPresentError",
}
#: That of one whose code has none of its own, by its status.
BY_STATUS: Final = {
    401: "FeastPermissionError",
    403: "FeastPermissionError",
    404: "FeastObjectNotFoundException",
}
OTHERWISE: Final = "FeastError"


class _Read(msgspec.Struct, forbid_unknown_fields=True):
    """The members of its question, all of which it always sends."""

    entities: msgspec.Raw
    full_feature_names: bool
    include_feature_view_version_metadata: bool
    features: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    feature_service: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Write(msgspec.Struct, forbid_unknown_fields=True):
    """Those of its writes."""

    feature_view_name: msgspec.Raw
    df: msgspec.Raw
    allow_registry_cache: bool


_CALLS: Final[Mapping[str, type[msgspec.Struct]]] = {
    "get-online-features": _Read,
    "write-to-online-store": _Write,
}


def is_of_feasts_client(request: HttpRequest | Request) -> bool:
    """Tell whether Feast's own client sent this.

    It names only the library under it, as any script does; what nobody writes by hand is the
    members of its bodies: each of them every time, and no other. ``Accept`` that names
    ``application/problem+json`` asks for that whatever the rest says.
    """
    if not request.headers.get("User-Agent", "").startswith(LIBRARY):
        return False
    if "application/problem+json" in request.headers.get("Accept", ""):
        return False
    members = _CALLS.get(request.path.rpartition("/")[2])
    stream = request.META.get("wsgi.input")
    if request.method != "POST" or members is None or not isinstance(stream, io.BytesIO):
        return False
    try:
        msgspec.json.decode(stream.getbuffer(), type=members)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def in_feasts_words(response: HttpResponse) -> HttpResponse:
    """Return a problem as Feast's server writes errors: JSON in a JSON text, naming a class."""
    said: dict[str, Any] = msgspec.json.decode(response.content)
    by_code = BY_PART.get(said.get("missing", "")) or BY_CODE.get(said["code"])
    name = by_code or BY_STATUS.get(said["status"], OTHERWISE)
    message = f"{said['detail']} ({said['code']})"
    detail = said | {"module": MODULE, "class": name, "message": message}
    headers = {key: value for key, value in response.items() if key != "Content-Type"}
    return HttpResponse(
        msgspec.json.encode(msgspec.json.encode(detail).decode()),
        status=response.status_code,
        content_type="application/json",
        headers=headers,
    )
