"""Processes in which pandas is not there, though whoever installed us may have it for the client.

Arrow imports it with the first list that it turns into a column, if it can, and we use none of it:
32 MB and an eighth of a second in each web process and worker. Not for the client, nor for what
operators' functions import: those run as new interpreters.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class _Hidden:
    """Finds nothing, and of pandas says that there is nothing to be found."""

    @staticmethod
    def find_spec(name: str, _path: Sequence[str] | None = None, _target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("pandas is hidden from the server's processes", name=name)


def hide_pandas() -> None:
    """Let no later import find it, here and in what is forked from here."""
    sys.meta_path.insert(0, _Hidden)
