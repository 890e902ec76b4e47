"""Request bodies to definitions: YAML text, several files, or decoded objects.

Not for what a definition means: ``parsing`` knows. No body is read beyond its limit.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import msgspec
from django.conf import settings
from rest_framework.parsers import BaseParser

from lib.bodies import BadBody, json_object, read_limited
from lib.decoding import converter
from registry.reading.parsing import parse_files, parse_objects

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registry.reading.parsing import Definition


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
        body = json_object(read_limited(stream, settings.DEFINITIONS_MAX_BYTES))
        if body.keys() == {"definitions"} and isinstance(body["definitions"], list):
            return {"definitions": parse_objects(body["definitions"])}
        try:
            files = _read_files(body).files
        except msgspec.ValidationError as exc:
            raise BadBody(
                'send {"files": [{"path": "…", "text": "…"}]} or {"definitions": [{"kind": …}]}:'
                f" {exc}."
            ) from exc
        return {"definitions": parse_files([(file.path, file.text) for file in files])}


class _File(msgspec.Struct, forbid_unknown_fields=True):
    path: str
    text: str


class _Files(msgspec.Struct, forbid_unknown_fields=True):
    files: list[_File]


_read_files = converter(_Files)
