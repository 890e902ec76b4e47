"""The process whose forks touch users' SQL and files, one a job; started by path, never imported.

Not for deciding what to compute: the job on stdin, one frame, says it. How far it is goes to
stdout, one line of JSON to stderr at the end; rows go into files, but for those of a job that is
asked for batches on stdin: see ``transforming``. ``sys.argv`` has the number of the socket on which
jobs are asked for: see ``template``.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from materialization.compute.limits import EngineLimits

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_NO_NEW_PRIVS = 38


def confine(parent: int) -> None:
    """Die with the parent, leave no core dump, gain no privilege; have a name of its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc.prctl(_PR_SET_NAME, b"assay-job", 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)  # it died before we asked to be told


def restrict(limits: EngineLimits) -> None:
    """Hold the process to what its job may use, whatever functions its SQL calls.

    Memory is limited by RLIMIT_DATA: what is only reserved does not count there, and allocators
    reserve much. An allocation beyond it fails, and DuckDB says so. The number of processes is not:
    it is counted for all that the user runs, and no SQL can start one.
    """
    megabyte = 1 << 20
    for kind, most in (
        (resource.RLIMIT_DATA, limits.process_limit_mb * megabyte),
        (resource.RLIMIT_FSIZE, limits.temp_limit_mb * megabyte),
        (resource.RLIMIT_CPU, limits.cpu_limit_s),
    ):
        _, hardest = resource.getrlimit(kind)
        limit = most if hardest == resource.RLIM_INFINITY else min(most, hardest)
        resource.setrlimit(kind, (limit, limit))
    # Where the machine itself runs out, this process goes before a server does.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def perform(template: int) -> int:
    """Do the one job that stands on stdin, in a fork of ``template``; return its exit code."""
    from materialization.confined.frames import receive
    from materialization.sandbox import compute

    if sys.platform == "linux":
        confine(template)
    envelope = compute.read_envelope(receive(sys.stdin.buffer) or b"")
    if sys.platform == "linux":
        restrict(envelope.limits)
    streams = {"asked": sys.stdin.buffer, "told": sys.stdout.buffer}
    return compute.run(envelope, **streams, report=sys.stderr)


def main() -> None:
    # Isolated mode leaves the project out of the path; only this file knows where it is.
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from lib.without_pandas import hide_pandas

    hide_pandas()
    # What jobs need is imported here, once for all of them.
    from materialization.sandbox import compute, template  # noqa: F401

    template.serve(socket.socket(fileno=int(sys.argv[1])), perform)
    os._exit(0)  # nothing is left to do, and a library's last words would be read as ours


if __name__ == "__main__":
    main()
