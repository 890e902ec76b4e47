"""A process that has imported what jobs need, and forks itself for each: a job begins at once.

Not for what a job does. It touches no file and no SQL of users; its forks do, one job each, and
end. Whoever started it holds the other end of ``control``; when that closes, or the line of one
fork does, they are killed.
"""

from __future__ import annotations

import fcntl
import gc
import os
import selectors
import signal
import socket
import sys
import traceback
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

#: What comes with a request: the job's stdin, stdout, stderr, its directory, and the line on which
#: its number and its end are said.
DESCRIPTORS = 5
#: Where a fork keeps the pipe whose end says that it ended.
_LIFE = 3


class Fork(NamedTuple):
    pid: int
    line: socket.socket


def serve(control: socket.socket, perform: Callable[[int], int]) -> None:
    """Fork for each request on ``control`` until it closes; a fork ends with ``perform``'s code.

    ``perform`` gets this process's number. On its line the starter reads ``<pid>\\n``, and when the
    job has ended ``<code> <peak KB>\\n``: the code as ``subprocess`` has it, and the most memory.
    """
    gc.freeze()  # a collection in a fork would copy every page
    Template(control, perform).serve()


class Template:
    def __init__(self, control: socket.socket, perform: Callable[[int], int]) -> None:
        self._control, self._perform, self._pid = control, perform, os.getpid()
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)

    def serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._control:
                    if not self._accept():
                        return  # its forks are told by the system to die with it
                elif isinstance(key.fileobj, int):
                    self._bury(key.fileobj, key.data)
                else:
                    self._end(key.data)

    def _accept(self) -> bool:
        data, descriptors, _, _ = socket.recv_fds(self._control, 1, DESCRIPTORS)
        if not data:
            return False
        *job, line_number = descriptors
        line = socket.socket(fileno=line_number)
        ended, alive = os.pipe()
        try:
            pid = os.fork()
        except OSError:
            pid = -1  # the line closes without a word: tried again
        if pid == 0:
            self._work(job, alive)
        for each in (*job, alive):
            os.close(each)
        if pid < 0:
            os.close(ended)
            line.close()
            return True
        fork = Fork(pid, line)
        _say(line, f"{pid}\n")
        self._selector.register(ended, selectors.EVENT_READ, fork)
        self._selector.register(line, selectors.EVENT_READ, fork)
        return True

    def _work(self, job: list[int], alive: int) -> None:
        """Become the job's process; never returns."""
        code = 1
        try:
            # A group of its own and no session: see RUN_NICENESS in docs/settings.md.
            os.setpgid(0, 0)
            *streams, directory = job
            os.fchdir(directory)
            # Above what they are copied to, so that none is overwritten before its turn.
            high = [fcntl.fcntl(each, fcntl.F_DUPFD, _LIFE + 1) for each in (*streams, alive)]
            for number, each in enumerate(high):
                os.dup2(each, number)
            os.closerange(_LIFE + 1, os.sysconf("SC_OPEN_MAX"))
            code = self._perform(self._pid)
        except BaseException:  # noqa: BLE001 - its words go where the starter looks
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _bury(self, ended: int, fork: Fork) -> None:
        self._selector.unregister(ended)
        os.close(ended)
        _, status, used = os.wait4(fork.pid, 0)
        _say(fork.line, f"{os.waitstatus_to_exitcode(status)} {used.ru_maxrss}\n")
        if fork.line in self._selector.get_map():  # else it was let go before
            self._selector.unregister(fork.line)
        fork.line.close()

    def _end(self, fork: Fork) -> None:
        """Kill a fork whose starter has let it go."""
        if fork.line in self._selector.get_map():  # else it was buried in the same round
            self._selector.unregister(fork.line)
            os.kill(fork.pid, signal.SIGKILL)


def _say(line: socket.socket, words: str) -> None:
    try:
        line.sendall(words.encode())
    except OSError:
        return  # nobody listens any more
