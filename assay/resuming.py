"""Downloads that go on where they were cut: the rest is asked for, of the same file.
Not for what is made for one answer: that is asked for anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from assay.errors import ServerError, ServerUnreachable, Unavailable
from assay.transport import Transport

#: How often in a row nothing may arrive before it is given up, and the first pause.
MOST_CUTS = 6
FIRST_PAUSE_SECONDS = 0.5


def resumed(transport: Transport, path: str) -> Iterator[bytes]:
    """Give the bytes of a file piece by piece, whatever cuts there are between.

    A server that is started anew has ``MOST_CUTS`` pauses, of 15 seconds in all, to come back.

    :raises ServerUnreachable, Unavailable: it did not, or never was there.
    :raises ServerError: the file became another meanwhile.
    """
    have, mark, cuts = 0, "", 0
    while True:
        rest = {"Range": f"bytes={have}-", "If-Range": mark} if have else {}
        try:
            with transport.stream(path, query={}, headers=rest) as (head, chunks):
                if have and head.status != 206:
                    message = "the file became another while it was downloaded; ask again"
                    raise ServerError(message, status=head.status)
                mark = head.headers.get("ETag", "")
                for chunk in chunks:
                    have, cuts = have + len(chunk), 0
                    yield chunk
            return
        except (ServerUnreachable, Unavailable):
            cuts += 1
            if not mark or cuts == MOST_CUTS:
                raise
            transport.pause(FIRST_PAUSE_SECONDS * 2 ** (cuts - 1))


def proven(arriving: Iterator[bytes], sha256: str, otherwise: str) -> Iterator[bytes]:
    """Give the pieces of a file; the last one once all of it is what its hash says.

    :raises ServerError: it is another file, or not all of it.
    """
    mark, last = hashlib.sha256(), b""
    for chunk in arriving:
        mark.update(chunk)
        if last:
            yield last
        last = chunk
    if mark.hexdigest() != sha256:
        raise ServerError(f"what arrived of {otherwise}", status=200)
    yield last
