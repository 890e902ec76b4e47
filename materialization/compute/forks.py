"""The sandbox's processes as their starter sees them: asked of a template, waited for, killed.

Not for what a job is or says (``child``). A process starts its template with its first job and has
it until it ends; see ``sandbox.template`` for the other side.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

from materialization.errors import EngineStopped

_ENVIRONMENT = {
    # A library that starts threads when it is imported starts none that a fork would lack.
    "OPENBLAS_NUM_THREADS": "1",
    # What is set aside counts against a job's limit as what is used does. Arrow's own pool takes 1
    # GB at once, whatever it holds, and DuckDB's allocator keeps what was freed, each thread its
    # own: runs of a hundred rows were told that they need more memory.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "DUCKDB_JE_MALLOC_CONF": "retain:false",
}
SANDBOX = Path(__file__).parents[1] / "sandbox" / "main.py"


class Fork:
    """One process of the sandbox; ``returncode`` as ``subprocess`` has it, None while it runs."""

    def __init__(self, line: socket.socket) -> None:
        """:raises EngineStopped: the template could not make it."""
        self._line = line
        self._said = line.makefile("rb")
        self.returncode: int | None = None
        #: The most memory it had, in KB, once it has ended.
        self.peak_kb = 0
        number = self._said.readline()
        if not number:
            line.close()
            raise EngineStopped("the engine's process could not be started; try again.")
        self.pid = int(number)

    def wait(self) -> int:
        """Return the code of its end; that of a killed process when its template is gone."""
        if self.returncode is None:
            code, _, peak_kb = self._said.readline().partition(b" ")
            self.returncode = int(code) if code else -signal.SIGKILL
            self.peak_kb = int(peak_kb or 0)
            self._said.close()
            self._line.close()
        return self.returncode

    def kill(self) -> None:
        """End it, if it has not; it is gone when ``wait`` returns."""
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_WR)


class Template:
    """The process that is forked for each job."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        # No variable of ours reaches it: settings, tokens and passwords live in the environment.
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our interpreter, our file
                [sys.executable, "-I", str(SANDBOX), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd="/",
                env=_ENVIRONMENT,
                pass_fds=(theirs.fileno(),),
                process_group=0,
            )

    def fork(self, *, stdin: int, stdout: int, stderr: int, directory: str) -> Fork:
        """:raises EngineStopped: it is gone, or could not."""
        ours, theirs = socket.socketpair()
        place = os.open(directory, os.O_DIRECTORY)
        try:
            with theirs:
                given = [stdin, stdout, stderr, place, theirs.fileno()]
                socket.send_fds(self._control, [b"+"], given)
        except OSError as exc:
            ours.close()
            raise EngineStopped("the engine's process has ended; try again.") from exc
        finally:
            os.close(place)
        return Fork(ours)

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def leave(self) -> None:
        """Let another process have it: without its last holder it ends."""
        self._control.close()


class _Kept:
    """This process's template, made when it is first needed or when the last has died."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._template: Template | None = None
        #: That of the process this one was forked from: only kept from being waited for.
        self._inherited: Template | None = None

    def get(self) -> Template:
        with self._lock:
            if self._template is None or not self._template.is_alive():
                self._template = Template()
            return self._template

    def forget(self) -> None:
        """Begin anew in a process that was forked; a template is for its starter alone."""
        self._lock = threading.Lock()
        self._inherited, self._template = self._template, None
        if self._inherited is not None:
            self._inherited.leave()


_kept = _Kept()
os.register_at_fork(after_in_child=_kept.forget)


def start(*, stdin: int, stdout: int, stderr: int, directory: str) -> Fork:
    """Start a job's process with these descriptors in ``directory``.

    :raises EngineStopped: it could not be started, twice.
    """
    given = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
    try:
        return _kept.get().fork(**given, directory=directory)
    except EngineStopped:
        return _kept.get().fork(**given, directory=directory)
