"""A folder that the operating system does not let us into."""

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
    if us == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(us)
        folder.chmod(before)
