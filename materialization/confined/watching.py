"""Say in words what a function tried that a wall would stop, before the wall does.

Not what keeps it from anything: walls of the kernel do (``kernel``), and a function that goes past
this meets those. Of ``ctypes`` it holds what the distribution's own files import: libraries that a
function uses may, and what they call with it meets the same walls.
"""

from __future__ import annotations

import os
import sys

#: What Python tells of before it does it → what that is.
_TRIED = {
    "socket.__new__": "open a socket",
    "socket.getaddrinfo": "look up an address",
    "os.fork": "start a process",
    "os.forkpty": "start a process",
    "os.exec": "become another program",
    "os.posix_spawn": "start a process",
    "os.system": "start a process",
    "subprocess.Popen": "start a process",
    "os.kill": "signal a process",
}
_WRITING = ("w", "a", "x", "+")


class Stopped(PermissionError):
    """Something that a Python transform may not do; its words are ours, and quote nothing."""


def watch(own: set[str]) -> None:
    """Stop what is in the table, writing of files, and ``ctypes`` of the files ``own``."""

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in _TRIED:
            raise Stopped(f"it tried to {_TRIED[event]}")
        if event == "open" and _writes(arguments):
            raise Stopped("it tried to write a file")
        if event == "import" and arguments[0] in ("ctypes", "_ctypes") and _importer() in own:
            raise Stopped("it tried to import ctypes")

    for name in [each for each in sys.modules if each.partition(".")[0] in ("ctypes", "_ctypes")]:
        del sys.modules[name]  # ours, or its import would not be noticed
    sys.addaudithook(hook)


def _writes(arguments: tuple[object, ...]) -> bool:
    _, mode, flags = (*arguments, None, None)[:3]
    if isinstance(mode, str):
        return any(letter in mode for letter in _WRITING)
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _importer() -> str:
    """Return the file whose line imports something: the importer's own machinery left out."""
    frame = sys._getframe(2)  # noqa: SLF001 - there is no other way to know who asks
    while frame.f_back is not None and "importlib" in frame.f_code.co_filename:
        frame = frame.f_back
    return frame.f_code.co_filename
