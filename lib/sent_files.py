"""Files as answers: sent as they lie on the disk; those that were made for one are removed then.

Whoever serves such a one may need its name a little longer than the response lives (``leave``);
then removing it is theirs.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, BinaryIO

#: A larger answer is sent from the disk, where it takes no memory while a slow client reads.
AT_ONCE_BYTES = 1 << 20


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


class PartOfFile:
    """The bytes of an open file from ``start`` to before ``end``; closing it closes the file."""

    def __init__(self, file: BinaryIO, start: int, end: int) -> None:
        self.whole, self.start, self.end = file, start, end
        file.seek(start)

    def read(self, size: int = -1) -> bytes:
        left = self.end - self.whole.tell()
        return self.whole.read(left if size < 0 else min(size, left))

    def close(self) -> None:
        self.whole.close()


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
    path = named(file)
    return path if path is not None and file.tell() == 0 else None


def named(file: Any) -> str | None:
    """Return the path of an open file by which others can open it too; None: it has none."""
    if not isinstance(file, io.BufferedReader) or not isinstance(file.name, str):
        return None
    return file.name if Path(file.name).is_absolute() else None


def remove(path: str) -> None:
    Path(path).unlink(missing_ok=True)
