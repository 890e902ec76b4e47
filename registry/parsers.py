"""Request bodies to definitions: YAML text, several files, or decoded objects.

Bodies are read whole, so their size is limited by Django's ``DATA_UPLOAD_MAX_MEMORY_SIZE``.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import msgspec
from rest_framework.parsers import BaseParser

from registry.errors import Invalid
from registry.parsing import parse_files, parse_objects

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registry.parsing import Definition


class BadBody(Invalid):
    code = "invalid_body"


class DefinitionsYamlParser(BaseParser):
    media_type = "application/yaml"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> list[Definition]:
        return parse_files([("definitions.yaml", _text(stream.read()))])


class DefinitionsParser(BaseParser):
    """JSON: ``{"files": [{"path", "text"}]}`` or ``{"definitions": [{…}]}``."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> list[Definition]:
        body = _json(stream.read())
        files, objects = body.get("files"), body.get("definitions")
        if isinstance(objects, list) and files is None:
            return parse_objects(objects)
        if not isinstance(files, list) or not all(
            isinstance(f, dict)
            and isinstance(f.get("path"), str)
            and isinstance(f.get("text"), str)
            for f in files
        ):
            raise BadBody(
                'send {"files": [{"path": "…", "text": "…"}]} or {"definitions": [{"kind": …}]}.'
            )
        return parse_files([(file["path"], file["text"]) for file in files])


class LooseJsonParser(BaseParser):
    """A JSON object or nothing at all, which counts as ``{}``."""

    media_type = "*/*"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        raw = stream.read()
        return _json(raw) if raw.strip() else {}


def _json(raw: bytes) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(raw)
    except msgspec.DecodeError as exc:
        raise BadBody(f"the body is not valid JSON: {exc}.") from exc
    if not isinstance(body, dict):
        raise BadBody("the body is a JSON object.")
    return body


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as exc:
        raise BadBody(f"the body is not UTF-8: {exc}.") from exc
