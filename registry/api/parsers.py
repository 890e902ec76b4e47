"""Request bodies to definitions: YAML text, several files, or decoded objects.

Not for what a definition means: ``parsing`` knows. No body is read beyond its limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from django.conf import settings
from rest_framework.exceptions import UnsupportedMediaType

from lib.bodies import BadBody, json_object, read_body, require_length
from lib.decoding import converter
from registry.reading.parsing import parse_files, parse_objects

if TYPE_CHECKING:
    from collections.abc import Callable

    from rest_framework.request import Request

    from registry.reading.parsing import Definition


def sent_definitions(request: Request) -> list[Definition]:
    """Return the definitions of a body, in the form its ``Content-Type`` says.

    :raises UnsupportedMediaType: neither YAML nor JSON.
    :raises BadBody, BodyTooLarge, LengthRequired: it cannot be read whole.
    :raises TooManyDefinitions: more than ``DEFINITIONS_MAX_OBJECTS``.
    :raises InvalidDefinitions: with every mistake in it, or there is none at all.
    """
    media_type = (request.content_type or "").partition(";")[0].strip().lower()
    if media_type not in _READ:
        raise UnsupportedMediaType(media_type)
    if media_type == YAML:
        require_length(request, "YAML")
    raw = read_body(request, limit=settings.DEFINITIONS_MAX_BYTES, setting="DEFINITIONS_MAX_BYTES")
    return _READ[media_type](raw, settings.DEFINITIONS_MAX_OBJECTS) if raw else parse_files([])


def _from_yaml(raw: bytes, most: int) -> list[Definition]:
    try:
        return parse_files([("definitions.yaml", raw.decode())], most=most)
    except UnicodeDecodeError as exc:
        raise BadBody(f"the body is not UTF-8: {exc}.") from exc


def _from_json(raw: bytes, most: int) -> list[Definition]:
    """Read ``{"files": [{"path", "text"}]}`` or ``{"definitions": [{…}]}``."""
    body = json_object(raw)
    if body.keys() == {"definitions"} and isinstance(body["definitions"], list):
        return parse_objects(body["definitions"], most=most)
    try:
        files = _read_files(body).files
    except msgspec.ValidationError as exc:
        raise BadBody(
            'send {"files": [{"path": "…", "text": "…"}]} or {"definitions": [{"kind": …}]}:'
            f" {exc}."
        ) from exc
    return parse_files([(file.path, file.text) for file in files], most=most)


class _File(msgspec.Struct, forbid_unknown_fields=True):
    path: str
    text: str


class _Files(msgspec.Struct, forbid_unknown_fields=True):
    files: list[_File]


_read_files = converter(_Files)


YAML = "application/yaml"
_READ: dict[str, Callable[[bytes, int], list[Definition]]] = {
    YAML: _from_yaml,
    "application/json": _from_json,
}
