"""Files that answer: granian reads them as fast as the client does, and no faster.

What is given to it in pieces it takes at once, whole, however slow the client is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lib.sent_files import remove

if TYPE_CHECKING:
    import asyncio

#: Granian opens a file a moment after it was told to; open, it needs no name any more.
_OPENED_SECONDS = 20.0


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
