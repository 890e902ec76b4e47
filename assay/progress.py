"""Whether somebody at a terminal sees how far a call is that takes long; nothing elsewhere.
Not for what a program is told: a call's ``on_progress`` gets that, and then nothing is shown.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from assay.shapes import JSON
from assay.waiting import OnProgress

#: Set to ``off``, nothing is shown at a terminal either.
SWITCH = "ASSAY_PROGRESS"
# A terminal has one place for it: of calls side by side the first is shown.
_place = Lock()


@contextmanager
def looking(
    on_progress: OnProgress | None, text: str, say: Callable[[JSON], str]
) -> Iterator[OnProgress]:
    """Give who is told what each look found: the caller's own, else a line that ``say`` words."""
    with _teller(on_progress, lambda bars: bars.line(text, say)) as tell:
        yield tell


@contextmanager
def of_runs(on_progress: OnProgress | None) -> Iterator[OnProgress]:
    """Give who is told of runs: the caller's own, else a bar for each."""
    with _teller(on_progress, lambda bars: bars.of_runs()) as tell:
        yield tell


def arriving(pieces: Iterable[bytes], text: str, size: int | None) -> Iterator[bytes]:
    """Give the pieces of a download, and show how much of it has arrived."""
    with _terminal() as bars:
        yield from pieces if bars is None else bars.arriving(pieces, text, size)


@contextmanager
def _teller(on_progress: OnProgress | None, drawn: Callable[[Any], Any]) -> Iterator[OnProgress]:
    if on_progress is not None:
        yield on_progress
        return
    with _terminal() as bars:
        if bars is None:
            yield _to_nobody
            return
        with drawn(bars) as tell:
            yield tell


def _to_nobody(_: JSON) -> None:
    """Is told where nobody looks."""


@contextmanager
def _terminal() -> Iterator[Any]:
    """Give what draws, ``assay.bars``, for as long as the terminal is this call's; None elsewhere.

    It is imported by the first that draws: a program without a terminal has no use for it.
    """
    if not (_is_wanted() and _place.acquire(blocking=False)):
        yield None
        return
    try:
        yield importlib.import_module("assay.bars")
    finally:
        _place.release()


def _is_wanted() -> bool:
    """Tell whether somebody looks: at a terminal, or, as rich has it, where one is promised."""
    is_terminal = os.environ.get("TTY_COMPATIBLE") == "1" or sys.stderr.isatty()
    return is_terminal and os.environ.get(SWITCH, "").lower() not in ("off", "0", "false", "no")


def step_of(run: JSON) -> str:
    """Say where a run is, and how fast, as far as the server knows."""
    said = [str(run.get("step") or run["status"])]
    if (chunks := run.get("chunks") or 1) > 1:
        said.append(f"{run['chunks_done']} of {chunks} chunks")
    if rate := run.get("rows_per_second"):
        said.append(f"{rate:,} rows/s")
    if (left := run.get("seconds_left")) is not None:
        said.append(f"{left // 60} min {left % 60} s left")
    return ", ".join(said)


def printable(text: str) -> str:
    """Show control characters as escapes: names and comments are other people's input."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else ascii(char)[1:-1] for char in text
    )
