"""Who works at the shell of the server: the user of its machine, where there is no account of ours.

A process is a shell's unless it says that it serves others, as web processes, workers, consumers
and beat do where they start; so a script is one too. Not for whether they may: whoever has the
shell may write to the database.
"""

from __future__ import annotations

import getpass
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_who = ""
_serves = False


def shell_actor() -> str:
    """Return who works at the shell, as ``root@host``; empty in a server or a worker."""
    return _who or ("" if _serves else f"{_user()}@{socket.gethostname()}")


def serve_others() -> None:
    """Let this process, and what it forks, be no shell: called once, where one starts."""
    global _serves  # noqa: PLW0603 - of the whole process, whichever of its threads works
    _serves = True


@contextmanager
def at_shell(who: str) -> Iterator[None]:
    """Let all inside be the doing of ``who`` at the shell, in a process that serves others too."""
    global _who  # noqa: PLW0603 - of the whole process, whichever of its threads works
    before, _who = _who, who
    try:
        yield
    finally:
        _who = before


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return "somebody"
