"""Files that answer: granian reads them as fast as the client does, and no faster.

What is given to it in pieces it takes at once, whole, however slow the client is.
"""

from __future__ import annotations

import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lib.sent_files import AT_ONCE_BYTES, remove
from materialization.compute.scratch import own_folder

if TYPE_CHECKING:
    import asyncio

#: Granian opens a file a moment after it was told to; open, it needs no name any more.
_OPENED_SECONDS = 20.0


def send_bytes(
    protocol: Any,
    status: int,
    headers: list[tuple[str, str]],
    body: bytes,
    loop: asyncio.AbstractEventLoop,
) -> None:
    """Answer from any thread; a large body from the disk, where that has room for it.

    Whoever asks, and does not read, would hold all of it in memory, as often as they ask.
    """
    if len(body) > AT_ONCE_BYTES:
        with suppress(OSError):
            path = _written(body)
            send_file(protocol, status, headers, path, loop)
            return
    protocol.response_bytes(status, headers, body)


def _written(body: bytes) -> str:
    with tempfile.NamedTemporaryFile(dir=own_folder(), delete=False) as file:
        try:
            file.write(body)
        except OSError:
            remove(file.name)
            raise
        return file.name


def send_file(
    protocol: Any,
    status: int,
    headers: list[tuple[str, str]],
    path: str,
    loop: asyncio.AbstractEventLoop,
    *,
    opened_seconds: float = _OPENED_SECONDS,
) -> None:
    """Answer with a file, which is removed as soon as it surely is open. From any thread."""
    protocol.response_file(status, headers, path)
    loop.call_soon_threadsafe(loop.call_later, opened_seconds, remove, path)
