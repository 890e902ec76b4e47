"""Asking a process by frames within some seconds, and reading its answer.

Not for what the frames say, nor for ending who does not answer: whoever asks does.
"""

from __future__ import annotations

import os
import select
import time

from materialization.confined.frames import HEADER


class Asking:
    """Two pipes to a process, ours to write into and to read from."""

    def __init__(self, stdin: int, stdout: int) -> None:
        self._stdin, self._stdout = stdin, stdout
        for pipe in (stdin, stdout):
            os.set_blocking(pipe, False)

    def send(self, letter: bytes, content: bytes | memoryview, *, seconds: float) -> None:
        """:raises TimeoutError: it was not taken in time.
        :raises BrokenPipeError: the process has ended.
        """
        until = time.monotonic() + seconds
        left = memoryview(HEADER.pack(letter, len(content)) + bytes(content))
        while left:
            self._wait([], [self._stdin], until)
            left = left[os.write(self._stdin, left) :]

    def answer(self, *, seconds: float, most: int) -> tuple[bytes, bytes]:
        """Return the next frame: its letter and its content.

        :raises TimeoutError: none came in time.
        :raises EOFError: the process has ended.
        :raises OverflowError: it is of more than ``most`` bytes.
        """
        until = time.monotonic() + seconds
        letter, size = HEADER.unpack(self._read(HEADER.size, until))
        if size > most:
            raise OverflowError(size)
        return letter, self._read(size, until)

    def _read(self, size: int, until: float) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            self._wait([self._stdout], [], until)
            part = os.read(self._stdout, min(size - len(parts), 1 << 20))
            if not part:
                raise EOFError
            parts += part
        return bytes(parts)

    @staticmethod
    def _wait(read: list[int], write: list[int], until: float) -> None:
        left = until - time.monotonic()
        if left <= 0 or not any(select.select(read, write, [], left)):
            raise TimeoutError
