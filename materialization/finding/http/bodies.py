"""The body of an answer as it arrives: decompressed piece by piece, never more than was asked.

Not for how much of it may come (``asking``).
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Bytes of one piece; a bomb makes no piece larger.
PIECE_BYTES = 1 << 18
_GZIP = 31


class BadBody(ValueError):
    """It is not what its header says; the message says what it is."""


def decoded(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Yield what pieces of a body hold.

    :raises BadBody: it is compressed in a way that was not asked for, is damaged, or ends early.
    """
    named = encoding.strip().lower()
    if named in ("", "identity"):
        yield from pieces
    elif named in ("gzip", "x-gzip"):
        yield from _unzipped(pieces)
    else:
        raise BadBody(f"is compressed as {named[:40]!r}, which was not asked for")


def _unzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    member, has_begun = zlib.decompressobj(_GZIP), False
    for piece in pieces:
        while piece:
            if member.eof:  # several may follow each other
                member = zlib.decompressobj(_GZIP)
            try:
                made = member.decompress(piece, PIECE_BYTES)
            except zlib.error:
                raise BadBody("is no gzip, though its header says so") from None
            has_begun = True
            if made:
                yield made
            piece = member.unused_data if member.eof else member.unconsumed_tail
        yield from _rest(member)
    if not has_begun or not member.eof:
        raise BadBody("was cut off in the middle")


def _rest(member: zlib._Decompress) -> Iterator[bytes]:
    """Yield what a piece still held when all of it was taken in."""
    while not member.eof and (made := member.decompress(b"", PIECE_BYTES)):
        yield made
