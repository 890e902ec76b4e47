"""Request bodies to definitions: YAML text, several files, or decoded objects.

Not for what a definition means: ``parsing`` knows. No body is read beyond its limit.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import msgspec
from django.conf import settings
from rest_framework.parsers import BaseParser

from registry.errors import Invalid, TooLarge
from registry.json_bodies import MAX_DEPTH, UNREADABLE, is_too_deep, why_unreadable
from registry.parsing import parse_files, parse_objects

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest
    from rest_framework.request import Request

    from registry.parsing import Definition

#: Bytes of a body that holds a comment, a few names or instants.
SMALL_BODY = 100_000


class BadBody(Invalid):
    code = "invalid_body"


class BodyTooLarge(TooLarge):
    code = "body_too_large"


class DefinitionsYamlParser(BaseParser):
    media_type = "application/yaml"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, list[Definition]]:
        raw = read_limited(stream, settings.DEFINITIONS_MAX_BYTES)
        try:
            return {"definitions": parse_files([("definitions.yaml", raw.decode())])}
        except UnicodeDecodeError as exc:
            raise BadBody(f"the body is not UTF-8: {exc}.") from exc


class DefinitionsParser(BaseParser):
    """JSON: ``{"files": [{"path", "text"}]}`` or ``{"definitions": [{…}]}``."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, list[Definition]]:
        body = _object(read_limited(stream, settings.DEFINITIONS_MAX_BYTES))
        if body.keys() == {"definitions"} and isinstance(body["definitions"], list):
            return {"definitions": parse_objects(body["definitions"])}
        try:
            files = msgspec.convert(body, _Files).files
        except msgspec.ValidationError as exc:
            raise BadBody(
                'send {"files": [{"path": "…", "text": "…"}]} or {"definitions": [{"kind": …}]}:'
                f" {exc}."
            ) from exc
        return {"definitions": parse_files([(file.path, file.text) for file in files])}


class LooseJsonParser(BaseParser):
    """A small JSON object or nothing at all, which counts as ``{}``."""

    media_type = "*/*"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        raw = read_limited(stream, SMALL_BODY)
        return _object(raw) if raw.strip() else {}


class _File(msgspec.Struct, forbid_unknown_fields=True):
    path: str
    text: str


class _Files(msgspec.Struct, forbid_unknown_fields=True):
    files: list[_File]


def read_limited(stream: IO[bytes], limit: int) -> bytes:
    """Read a body of at most ``limit`` bytes.

    :raises BodyTooLarge: there is more; the rest is left unread.
    """
    raw = stream.read(limit + 1)
    if len(raw) > limit:
        raise BodyTooLarge(f"the body has more than {limit} bytes; send it in parts.", limit=limit)
    return raw


def check_length(request: HttpRequest | Request, setting: str, advice: str) -> None:
    """Refuse a body by its announced length, before any of it is read.

    ``setting`` names the limit in bytes. :raises BodyTooLarge: says both and ``advice``.
    """
    length, most = request.META.get("CONTENT_LENGTH") or "0", getattr(settings, setting)
    if length.isdecimal() and int(length) > most:
        raise BodyTooLarge(
            f"the body has {length} bytes; at most {most} ({setting}). {advice}",
            limit=most,
            setting=setting,
        )


def _object(raw: bytes) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(raw)
    except UNREADABLE as exc:
        raise BadBody(f"the body is not valid JSON: {why_unreadable(exc)}.") from exc
    if not isinstance(body, dict):
        raise BadBody("the body is a JSON object.")
    if is_too_deep(body):
        raise BadBody(f"the body is nested deeper than {MAX_DEPTH} levels.")
    return body
