"""Where in a stream rows were read, as it is kept beside them: in Redis, in the log, in the commit.

Not for reading streams (``materialization.streams``). [pure]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


class Stretch(NamedTuple):
    """Where in a stream rows were read: from place ``begin`` on, as far as before ``end``.

    ``places`` are the rows' own. What lies between and has no row was refused, or is none.
    """

    stream: str
    begin: int
    end: int
    places: Sequence[int] = ()


def stream_mark(stream: str) -> str:
    """Return what a commit is to call how far a table has come of a stream."""
    return f"stream:{stream}"


def place_field(stream: str) -> str:
    """Return what a table's counter calls it."""
    return f"at:{stream}"


def said_stretch(stretch: Stretch | None) -> list[Any]:
    """Return the arguments of ``push_scripts.PUSH`` that say where a table's rows were read."""
    if stretch is None:
        return [b"", b"", b"", b""]
    places = np.asarray(stretch.places, "<i8").tobytes()
    return [place_field(stretch.stream), stretch.begin, stretch.end, places]


def read_stretch(said: dict[bytes, bytes]) -> Stretch | None:
    """Return the same of a log's entry; None: its rows were pushed."""
    if b"s" not in said:
        return None
    places = np.frombuffer(said[b"o"], "<i8").tolist()
    stream = said[b"s"].decode().removeprefix(place_field(""))
    return Stretch(stream, int(said[b"b"]), int(said[b"p"]), places)
