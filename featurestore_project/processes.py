"""Child processes that never outlive their parent, even when it is killed outright.

Not for what to run: ``serve`` lists the server's parts, the tests start theirs.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

PR_SET_PDEATHSIG = 1
#: The exit code of a part that refuses to start as things are configured: another start would too.
REFUSED = 78  # EX_CONFIG of sysexits.h
#: Loaded here: between fork and exec nothing may be.
LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Child(NamedTuple):
    """A started process; ``log`` has all it printed."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def tail(self, *, lines: int = 15) -> str:
        """Return the end of the log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


def start(
    name: str,
    command: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
    user: int | None = None,
    folder: Path | None = None,
) -> Child:
    """Start ``command`` in ``folder``, in a process group of its own, its output added to ``log``.

    The group keeps a terminal's Ctrl-C from reaching it: whoever started it says when it ends.
    ``death_signal`` is what the kernel sends it when this process dies, see ``end_with_parent``.
    Call from a thread that lives as long as the process.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own commands, no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if env is None else dict(env),
            cwd=folder,
            process_group=0,
            preexec_fn=partial(end_with_parent, os.getpid(), death_signal),
            user=user,
            extra_groups=None if user is None else [],
        )
    return Child(name, process, log)


def end_with_parent(parent: int, number: signal.Signals) -> None:
    """Have the kernel send this process ``number`` when its parent dies.

    It may come several times, once for each thread of the parent that the process falls to as they
    die (prctl(2), PR_SET_PDEATHSIG). granian locks up and Celery goes on when a second TERM or QUIT
    interrupts the handling of the first; KILL cannot be misunderstood. Linux only; elsewhere an
    outright killed parent leaves its children behind.
    """
    if LIBC is None:
        return
    LIBC.prctl(PR_SET_PDEATHSIG, int(number))
    if os.getppid() != parent:  # it died between fork and prctl
        os.kill(os.getpid(), signal.SIGKILL)


def stop(children: Sequence[Child], *, grace_seconds: float = 8.0) -> None:
    """End the children and their groups, last started first: TERM, and KILL after the grace."""
    for child in reversed(children):
        _signal(child, signal.SIGTERM)
        deadline = time.monotonic() + grace_seconds
        while child.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        kill_group(child)
        child.process.wait()


def _signal(child: Child, number: signal.Signals) -> None:
    if child.process.poll() is None:
        child.process.send_signal(number)


def kill_group(child: Child) -> None:
    """Kill what is left of a child and of its own children.

    The leader may be gone and its own children not; an empty group is what we want.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.process.pid, signal.SIGKILL)
