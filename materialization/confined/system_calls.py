"""What a confined process may ask of the kernel, and the filter that refuses the rest. [pure]

Not for setting it (``kernel``). The list is of what computing takes: memory of one's own, threads,
clocks, and reading of files that another wall lets through. What is in no line is refused as not
permitted, also what kernels will learn after this was written.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

#: The walls, by the names that settings and messages have for them.
LANDLOCK, SECCOMP, NAMESPACES = "landlock", "seccomp", "namespaces"
WALLS = (LANDLOCK, SECCOMP, NAMESPACES)

#: Name → its number on x86-64 and on ARM64; None where the processor has none.
ALLOWED: dict[str, tuple[int, int | None]] = {
    "read": (0, 63),
    "write": (1, 64),
    "open": (2, None),
    "close": (3, 57),
    "stat": (4, None),
    "fstat": (5, 80),
    "lstat": (6, None),
    "poll": (7, None),
    "lseek": (8, 62),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "pread64": (17, 67),
    "readv": (19, 65),
    "writev": (20, 66),
    "access": (21, None),
    "select": (23, None),
    "sched_yield": (24, 124),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "dup": (32, 23),
    "nanosleep": (35, 101),
    "getpid": (39, 172),
    "exit": (60, 93),
    "uname": (63, 160),
    "getcwd": (79, 17),
    "readlink": (89, None),
    "gettimeofday": (96, 169),
    "getrlimit": (97, 163),
    "getrusage": (98, 165),
    "sysinfo": (99, 179),
    "times": (100, 153),
    "getuid": (102, 174),
    "getgid": (104, 176),
    "geteuid": (107, 175),
    "getegid": (108, 177),
    "getppid": (110, 173),
    "sigaltstack": (131, 132),
    "gettid": (186, 178),
    "futex": (202, 98),
    "sched_getaffinity": (204, 123),
    "getdents64": (217, 61),
    "set_tid_address": (218, 96),
    "fadvise64": (221, 223),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "exit_group": (231, 94),
    "openat": (257, 56),
    "newfstatat": (262, 79),
    "readlinkat": (267, 78),
    "faccessat": (269, 48),
    "pselect6": (270, 72),
    "ppoll": (271, 73),
    "set_robust_list": (273, 99),
    "getcpu": (309, 168),
    "getrandom": (318, 278),
    "membarrier": (324, 283),
    "statx": (332, 291),
    "rseq": (334, 293),
    "faccessat2": (439, 439),
}


class Condition(NamedTuple):
    """A call that is allowed by one of its arguments: equal to one, with a bit, or without some."""

    numbers: tuple[int, int]
    argument: int
    equal: tuple[int, ...] = ()
    with_bit: int = 0
    without_bit: int = 0


_CLONE_THREAD = 0x10000
#: Memory that is shared with others, or grows as a stack: the limit of memory counts neither.
_UNCOUNTED = 0x001 | 0x100
#: Copies of descriptors, their flags and those of what they are of; nobody is signalled by it.
_HARMLESS_FCNTL = (0, 1, 2, 3, 4, 1030)
#: Calls that are answered by another error than "not permitted", for those who ask can go on then:
#: what is no terminal, and a way to make threads that cannot be looked into.
_ENOTTY, _ENOSYS, _EPERM = 25, 38, 1
_ANSWERED = {(16, 29): _ENOTTY, (435, 435): _ENOSYS}

#: Machine → its place in the tables above, and what the kernel calls it in a filter.
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000


def conditions(pid: int) -> tuple[Condition, ...]:
    """Return the calls that are allowed in part; signals go to the process itself only."""
    return (
        # Threads, and no processes.
        Condition((56, 220), 0, with_bit=_CLONE_THREAD),
        Condition((9, 222), 3, without_bit=_UNCOUNTED),
        Condition((62, 129), 0, equal=(pid,)),
        Condition((234, 131), 0, equal=(pid,)),
        Condition((302, 261), 0, equal=(0, pid)),
        Condition((72, 25), 1, equal=_HARMLESS_FCNTL),
    )


def program(machine: str, pid: int) -> list[bytes]:
    """Return the filter as instructions of the kernel's packet filter, eight bytes each.

    :raises LookupError: no numbers are known for such a machine.
    """
    place, architecture = MACHINES[machine]
    lines = [_line(_LOAD, 4), _line(_EQUAL, architecture, 1, 0), _refused(_EPERM), _line(_LOAD, 0)]
    for numbers in ALLOWED.values():
        if (number := numbers[place]) is not None:
            lines += [_line(_EQUAL, number, 0, 1), _line(_RETURN, _ALLOW)]
    for each, error in _ANSWERED.items():
        lines += [_line(_EQUAL, each[place], 0, 1), _refused(error)]
    for condition in conditions(pid):
        judged = _judged(condition)
        lines += [_line(_EQUAL, condition.numbers[place], 0, len(judged)), *judged]
    return [*lines, _refused(_EPERM)]


def _judged(condition: Condition) -> list[bytes]:
    """Return what allows or refuses a call by the lower half of one argument."""
    lines = [_line(_LOAD, 16 + 8 * condition.argument)]
    for value in condition.equal:
        lines += [_line(_EQUAL, value, 0, 1), _line(_RETURN, _ALLOW)]
    if condition.with_bit:
        lines += [_line(_ANY_BIT, condition.with_bit, 0, 1), _line(_RETURN, _ALLOW)]
    if condition.without_bit:
        lines += [_line(_ANY_BIT, condition.without_bit, 1, 0), _line(_RETURN, _ALLOW)]
    return [*lines, _refused(_EPERM)]


def _refused(error: int) -> bytes:
    return _line(_RETURN, _ERROR | error)


def _line(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
