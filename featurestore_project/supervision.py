"""Keeping parts alive: one that dies is started again, after a pause that grows; said each time.

Not for which parts there are (``serve``), nor for how a process starts and ends (``processes``).
"""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from featurestore_project import processes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from featurestore_project.processes import Child

#: A part that ran for less long than this died quickly.
QUICK_SECONDS = 20.0
#: After so many quick deaths in a row, before all parts ran together, something is wrong that
#: another start does not mend.
QUICK_DEATHS = 5
#: The pause after the first quick death; it doubles with each, up to the longest.
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
#: How often parts are looked at.
LOOK_SECONDS = 0.2


class PartFailed(Exception):  # noqa: N818 - an event; the message says what to do
    """A part refused to start, or died again and again: starting it once more would not help."""


class Part(NamedTuple):
    """One process to be kept running; ``death_signal`` as in ``processes.start``."""

    name: str
    command: Sequence[str]
    log: Path
    death_signal: signal.Signals = signal.SIGKILL
    #: Where it runs, whatever folder the server was started from.
    folder: Path | None = None


@dataclass
class _Kept:
    part: Part
    child: Child
    started: float
    quick_deaths: int = 0
    #: The instant at which a dead part is started again; None while it runs.
    due: float | None = None


class Supervisor:
    """Parts in the order they were started in; stops them in the opposite one.

    Call from the thread that lives as long as the process: see ``processes.start``.
    ``asked_to_stop`` is set from outside, for instance by a signal.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.asked_to_stop = threading.Event()
        self._say = say
        self._is_settled = False
        self._kept: list[_Kept] = []

    def start(self, part: Part) -> Child:
        """Start a part and keep it running from now on."""
        child = _start(part)
        self._kept.append(_Kept(part, child, time.monotonic()))
        return child

    def settle(self) -> None:
        """From now on no part ends the others, however often it dies: they go on without it."""
        self._is_settled = True

    def watch(self, *, until: Callable[[], bool] = lambda: False) -> None:
        """Look after the parts until ``until`` or somebody asks to stop.

        :raises PartFailed: until ``settle``; names the part, how it ended and the end of its log.
        """
        while not self.asked_to_stop.is_set() and not until():
            for kept in self._kept:
                self._look_after(kept, time.monotonic())
            self.asked_to_stop.wait(LOOK_SECONDS)

    def stop(self, *, grace_seconds: float) -> None:
        processes.stop([kept.child for kept in self._kept], grace_seconds=grace_seconds)

    def _look_after(self, kept: _Kept, now: float) -> None:
        if kept.due is None and kept.child.process.poll() is not None:
            self._bury(kept, now)
        elif kept.due is not None and now >= kept.due:
            kept.child, kept.started, kept.due = _start(kept.part), now, None

    def _bury(self, kept: _Kept, now: float) -> None:
        """Decide when a part that ended is started again, and say so.

        :raises PartFailed: it should not be.
        """
        code, name = kept.child.process.returncode, kept.part.name
        # Its own children would keep its port, or go on with its work beside its successor.
        processes.kill_group(kept.child)
        kept.quick_deaths = kept.quick_deaths + 1 if now - kept.started < QUICK_SECONDS else 0
        how = _how_it_ended(code)
        if not self._is_settled:
            _give_up_on(kept, how)
        pause = _pause_after(kept.quick_deaths)
        kept.due = now + pause
        what = "refuses to start" if code == processes.REFUSED else f"ended by itself ({how})"
        self._say(f"{name} {what}; it is started again in {pause:g} s. Its log: {kept.part.log}")


def _give_up_on(kept: _Kept, how: str) -> None:
    """Return if another start may mend it.

    :raises PartFailed: it refused to start, or died again and again.
    """
    name, tail = kept.part.name, f"The end of {kept.part.log}:\n{kept.child.tail()}"
    if kept.child.process.returncode == processes.REFUSED:
        raise PartFailed(f"{name} refuses to start. {tail}")
    if kept.quick_deaths >= QUICK_DEATHS:
        times = f"{QUICK_DEATHS} times in a row soon after its start"
        raise PartFailed(f"{name} ended by itself {times} (last: {how}). {tail}")


def _pause_after(quick_deaths: int) -> float:
    doublings = min(max(quick_deaths - 1, 0), 10)
    return min(FIRST_PAUSE_SECONDS * 2.0**doublings, LONGEST_PAUSE_SECONDS)


def _start(part: Part) -> Child:
    return processes.start(
        part.name,
        part.command,
        log=part.log,
        death_signal=part.death_signal,
        folder=part.folder,
    )


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"exit {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
