"""Shut this process in, by what the kernel it runs on has: names of its own, landlock, seccomp.

Not for what is run inside (``calling``). Everything here lowers what the process may do and nothing
raises it again. Walls that a kernel lacks are left out and said so; who asked for them stops there.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import resource
import signal
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from materialization.confined.system_calls import LANDLOCK, MACHINES, NAMESPACES, SECCOMP, program

if TYPE_CHECKING:
    from collections.abc import Iterable

_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 24, 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
#: New users, networks, host names, and queues between processes.
_NEW_USER, _NEW_OTHERS = 0x10000000, 0x40000000 | 0x04000000 | 0x08000000
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_PATH_BENEATH = 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
#: How many rights over files each version of landlock knows; what none knows, none holds.
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_MEGABYTE = 1 << 20
_CAPABILITIES_V3 = 0x20080522


def confine(parent: int, readable: Iterable[str], *, memory_mb: int, cpu_s: int) -> set[str]:
    """Hold this process, which has one thread, to reading ``readable``; return the walls that hold.

    It dies with ``parent``. Limits of memory and time hold on any kernel.

    :raises RuntimeError: it has threads already, around which there would be no wall.
    """
    if len(list(Path("/proc/self/task").iterdir())) > 1:
        raise RuntimeError("a process with threads cannot be shut in")
    libc = ctypes.CDLL(None, use_errno=True)
    held = set()
    if _own_names(libc):
        held.add(NAMESPACES)
    _limit(memory_mb, cpu_s)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _drop_capabilities(libc)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)  # it died before we asked to be told
    if _landlock(libc, readable):
        held.add(LANDLOCK)
    if _seccomp(libc):
        held.add(SECCOMP)
    return held


def _own_names(libc: ctypes.CDLL) -> bool:
    """Leave the machine's network for an empty one; an ordinary user needs one of his own first."""
    return any(libc.unshare(new) == 0 for new in (_NEW_USER | _NEW_OTHERS, _NEW_OTHERS))


def _limit(memory_mb: int, cpu_s: int) -> None:
    for kind, most in (
        (resource.RLIMIT_DATA, memory_mb * _MEGABYTE),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 128),
    ):
        _, hardest = resource.getrlimit(kind)
        limit = most if hardest == resource.RLIM_INFINITY else min(most, hardest)
        resource.setrlimit(kind, (limit, limit))


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    """Give up what root may do beside others, and what it could get back."""
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    for number in range(64):
        libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITIES_V3, 0))
    libc.capset(header, ctypes.create_string_buffer(bytes(24)))


def _landlock(libc: ctypes.CDLL, readable: Iterable[str]) -> bool:
    """Let files below ``readable`` be read, and no others; nothing is written or executed."""
    version = libc.syscall(_CREATE_RULESET, None, 0, 1)
    if version < 1:
        return False
    files = (1 << _RIGHTS.get(version, 16)) - 1
    network = 0b11 if version >= 4 else 0
    scopes = 0b11 if version >= 6 else 0
    size = 8 if version < 4 else 16 if version < 6 else 24
    given = struct.pack("=QQQ", files, network, scopes)[:size]
    rules = libc.syscall(_CREATE_RULESET, given, size, 0)
    if rules < 0:
        return False
    try:
        for path in readable:
            _let_read(libc, rules, path)
        return bool(libc.syscall(_RESTRICT_SELF, rules, 0) == 0)
    finally:
        os.close(rules)


def _let_read(libc: ctypes.CDLL, rules: int, path: str) -> None:
    with contextlib.suppress(OSError):  # not every machine has all of them
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rights = _READ_FILE | _READ_DIR if Path(path).is_dir() else _READ_FILE
        libc.syscall(_ADD_RULE, rules, _PATH_BENEATH, struct.pack("=Qi", rights, place), 0)
        os.close(place)


def _seccomp(libc: ctypes.CDLL) -> bool:
    machine = platform.machine()
    if machine not in MACHINES:
        return False
    lines = program(machine, os.getpid())
    code = ctypes.create_string_buffer(b"".join(lines))
    given = struct.pack("@HP", len(lines), ctypes.addressof(code))
    return bool(libc.syscall(_SECCOMP[machine], 1, 0, given) == 0)
