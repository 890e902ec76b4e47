"""Who works at the shell of the server: the user of its machine, where there is no account of ours.

Not for whether they may: whoever has the shell may write to the database.
"""

from __future__ import annotations

import getpass
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_who = ""


def shell_actor() -> str:
    """Return who works at the shell, as ``root@host``; empty in a server or a worker."""
    return _who


@contextmanager
def at_shell(who: str = "") -> Iterator[None]:
    """Let all inside be the doing of ``who``, of the one who runs this process unless named."""
    global _who  # noqa: PLW0603 - of the whole process, whichever of its threads works
    before, _who = _who, who or f"{_user()}@{socket.gethostname()}"
    try:
        yield
    finally:
        _who = before


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return "somebody"
