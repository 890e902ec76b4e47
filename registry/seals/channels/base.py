"""What every kind of place can do, and how it says that it cannot."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from lib.errors import Unavailable

#: Seconds for which a place may take to answer.
TIMEOUT_SECONDS = 10.0
#: Bytes of a text of seals that is read.
MOST_BYTES = 64 * 1024 * 1024


class SealChannelFailed(Unavailable):
    code = "seal_channel_failed"


class Publish(Protocol):
    def __call__(self, address: str, line: str, name: str) -> None:
        """Put one seal there; ``name`` is the seal's own, as for a file.

        :raises SealChannelFailed: saying why.
        """


class Fetch(Protocol):
    def __call__(self, address: str) -> str:
        """Return the seals that are there, one a line.

        :raises SealChannelFailed: saying why.
        """


class Channel(NamedTuple):
    """One kind of place; what cannot be read back has no ``fetch``."""

    publish: Publish
    fetch: Fetch
