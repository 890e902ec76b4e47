"""The process itself, started by path: shuts itself in, loads the function, answers batches.

Not for deciding what to run: the order on stdin says it. Frames both ways are a letter, a length of
eight bytes and so many bytes: ``j`` for JSON, ``a`` for an Arrow stream. It ends when stdin does.
"""

from __future__ import annotations

import json
import os
import sys
import sysconfig
from pathlib import Path
from typing import BinaryIO

#: What Python and its libraries read beside packages.
SYSTEM = (
    "/usr/lib", "/usr/lib64", "/lib", "/lib64", "/etc/ld.so.cache", "/usr/share/zoneinfo",
    "/dev/null", "/dev/zero", "/dev/urandom",
)  # fmt: skip


def readable(folder: str) -> list[str]:
    """Return what a confined process may read: the interpreter's own and packages."""
    paths = sysconfig.get_paths()
    own = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    own.append(str(Path(__file__).resolve().parent))
    return [*own, f"{sys.base_prefix}/lib", *([folder] if folder else []), *SYSTEM]


def own_streams() -> tuple[BinaryIO, BinaryIO]:
    """Take the pipe's two ends away from 0 and 1, where anything that prints would write."""
    read, write = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    os.close(nothing)
    return open(read, "rb"), open(write, "wb")  # noqa: PTH123, SIM115 - descriptors, kept open


def main() -> None:
    # Only this file knows where the project is; once shut in, it reads this folder of it alone.
    root = str(Path(__file__).resolve().parents[2])
    sys.path.insert(0, root)
    from materialization.confined import kernel
    from materialization.confined.frames import receive

    sys.path.remove(root)
    incoming, outgoing = own_streams()
    order = json.loads(receive(incoming) or b"{}")
    if order["folder"]:
        sys.path.append(order["folder"])
    held: set[str] = set()
    if sys.platform == "linux":
        held = kernel.confine(
            int(sys.argv[1]),
            readable(order["folder"]),
            memory_mb=order["memory_mb"],
            cpu_s=order["cpu_s"],
        )
    # Not before: pyarrow starts threads, and a wall is around those that come after it.
    from materialization.confined.answering import answer

    answer(order, held, incoming, outgoing)
    # All is said; an orderly end aborts now and then because of a thread of Arrow's.
    os._exit(0)


if __name__ == "__main__":
    main()
