"""Readers of typed values, built when a module is imported: before any thread of the server. [pure]

msgspec builds what it knows of a struct at the struct's first use; two threads that do so at once
can end the process with a segmentation fault. Hence no ``msgspec.convert`` and no
``decode(…, type=…)`` anywhere else.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import UnionType
    from typing import Any

T = TypeVar("T")


def json_reader(kind: type[T] | UnionType) -> Callable[[bytes | str], T]:
    """Return what reads JSON as ``kind``. Call it while a module is imported.

    Of a union nobody infers ``T``: annotate what it gives.
    """
    read: Callable[[bytes | str], T] = msgspec.json.Decoder(kind).decode
    return read


def msgpack_reader(kind: type[T]) -> Callable[[bytes], T]:
    """Return what reads msgpack as ``kind``. Call it while a module is imported."""
    read: Callable[[bytes], T] = msgspec.msgpack.Decoder(kind).decode
    return read


def converter(kind: type[T] | UnionType, *, strict: bool = True) -> Callable[[Any], T]:
    """Return what makes a ``kind`` of dicts, lists and scalars. Call it while a module is imported.

    ``strict`` is false where every scalar came as text.
    """
    msgspec.json.Decoder(kind)  # builds, and msgspec keeps, what it knows of the structs in it
    return partial(msgspec.convert, type=kind, strict=strict)
