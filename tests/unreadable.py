"""A folder, or a file, that the operating system does not let us into."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: A user with no rights to anything of ours.
NOBODY = 65534


@contextmanager
def unreadable(folder: Path) -> Iterator[None]:
    """Let nobody read the folder meanwhile, root included: it becomes somebody else."""
    before, us = folder.stat().st_mode, os.geteuid()
    folder.chmod(0 if us else 0o700)
    try:
        with as_nobody():
            yield
    finally:
        folder.chmod(before)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Be somebody with no rights to anything of root's, if we are root."""
    us = os.geteuid()
    if us == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(us)


@contextmanager
def entered(folder: Path) -> Iterator[None]:
    """Let everybody pass through the folders that this one lies in: pytest closes its own."""
    above = (folder, *folder.parents)
    closed = {each: each.stat().st_mode for each in above if not each.stat().st_mode & 0o001}
    for each, mode in closed.items():
        each.chmod(mode | 0o055)
    try:
        yield
    finally:
        for each, mode in closed.items():
            each.chmod(mode)
