"""What a spec expects at a path: the keys of a struct, the words of an enumeration. [pure]

Not for values that are well-formed and still wrong: ``spec_rules`` judges those.
"""

from __future__ import annotations

from enum import EnumType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import msgspec

if TYPE_CHECKING:
    from registry.yaml_documents import Path


def struct_of(annotation: Any) -> tuple[Any, bool]:
    """Return the struct in ``X``, ``X | None`` or ``tuple[X, ...]`` and whether there are many."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, msgspec.Struct):
            return candidate, get_origin(annotation) is tuple
    return None, False


def fields_of(struct: Any) -> dict[str, Any]:
    """Return the keys a struct has with the types they take."""
    return {field.name: field.type for field in msgspec.structs.fields(struct)}


def valid_words(annotation: Any, path: Path) -> list[str]:
    """Return the words an enumeration at ``path`` allows, none where there is no enumeration."""
    for step in path:
        struct, _ = struct_of(annotation)
        if isinstance(step, int):
            annotation = get_args(annotation)[0] if get_args(annotation) else None
        else:
            annotation = fields_of(struct).get(step) if struct else None
    words: tuple[Any, ...] = ()
    if get_origin(annotation) is Literal:
        words = get_args(annotation)
    elif isinstance(annotation, EnumType):
        words = tuple(annotation)
    return [str(word) for word in words]
