"""How a confined process is spoken with: a letter, a length of eight bytes, so many bytes. [pure]

``j`` is JSON, ``a`` an Arrow stream. Not for what they say.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

HEADER = struct.Struct("=cQ")
JSON, ARROW = b"j", b"a"


def receive(stream: BinaryIO) -> bytes | None:
    """Return the next frame's content; None when there is none to come."""
    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    return stream.read(HEADER.unpack(header)[1])


def send(stream: BinaryIO, letter: bytes, content: bytes) -> None:
    stream.write(HEADER.pack(letter, len(content)) + content)
    stream.flush()
