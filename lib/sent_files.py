"""Files as answers: sent as they lie on the disk; those that were made for one are removed then.

Whoever serves such a one may need its name a little longer than the response lives (``leave``);
then removing it is theirs.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any


class SentOnce(io.FileIO):
    """An answer's file, open to be read; closing it removes it."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "rb")
        self._is_left = False

    def leave(self) -> str:
        """Keep the file when this is closed; return its path, to be given to ``remove``."""
        self._is_left = True
        return str(self.name)

    def close(self) -> None:
        if not self.closed and not self._is_left:
            remove(str(self.name))
        super().close()


class FileWrapper:
    """``wsgi.file_wrapper``: the file itself reaches the server, which knows how to send one."""

    def __init__(self, file: Any, block_size: int = 1 << 16) -> None:
        self.file, self._block_size = file, block_size

    def __iter__(self) -> Any:
        return iter(lambda: self.file.read(self._block_size), b"")

    def close(self) -> None:
        self.file.close()


def whole_file(file: Any) -> str | None:
    """Return the path of an open file that is to be read from its beginning; None: it is none."""
    if not isinstance(file, io.BufferedReader) or not isinstance(file.name, str):
        return None
    is_whole = Path(file.name).is_absolute() and file.tell() == 0
    return file.name if is_whole else None


def remove(path: str) -> None:
    Path(path).unlink(missing_ok=True)
