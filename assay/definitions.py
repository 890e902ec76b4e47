"""Definitions, as files, objects or dicts, to the one body that registers them.
Not for checking them: the server says what is wrong, with file and line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.errors import Invalid, why_unreadable
from assay.objects import Definition
from assay.shapes import JSON, Definitions

SUFFIXES = {".yaml", ".yml", ".json"}


def body_of(definitions: Definitions) -> JSON:
    """Give ``{"files": […]}`` for paths, ``{"definitions": […]}`` for objects and dicts.

    A folder stands for the .yaml, .yml and .json files in and below it.

    :raises Invalid: a file is missing or not UTF-8, there is nothing, or paths stand among others.
    """
    items = [i.to_dict() if isinstance(i, Definition) else i for i in _items(definitions)]
    objects = [item for item in items if isinstance(item, Mapping)]
    paths = [item for item in items if not isinstance(item, Mapping)]
    if objects and paths:
        raise Invalid("give either files or objects in one call: lines are counted in files only")
    if objects:
        return {"definitions": objects}
    files = [file for path in paths for file in _files(Path(path))]
    if not files:
        raise Invalid("no definitions were given; name a .yaml file or a folder of them")
    return {"files": [_read(file) for file in files]}


def _items(definitions: Definitions) -> Sequence[Any]:
    if isinstance(definitions, Sequence) and not isinstance(definitions, str):
        return definitions
    return [definitions]


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())


def _read(path: Path) -> JSON:
    try:
        return {"path": str(path), "text": path.read_text(encoding="utf-8")}
    except (OSError, UnicodeDecodeError) as exc:
        raise Invalid(f"{path} cannot be read: {why_unreadable(exc)}", path=str(path)) from exc
