"""Training sets as files on the server's disk, to be sent from there.

Not for their forms (``answers``) nor for sending: whoever serves HTTP does that.
"""

from __future__ import annotations

import gzip
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lib.content_codings import LEVEL
from lib.errors import TooLarge
from lib.outages import outage
from lib.sent_files import remove
from serving.historical.answers import write_answer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from serving.historical.training_set import TrainingSet


_PIECE = 1 << 20


class AnswerTooLarge(TooLarge):
    code = "answer_too_large"


def write_file(
    answer: TrainingSet, media_type: str, *, folder: str, most_mb: int, int64_as_text: bool = False
) -> str:
    """Write the training set into a new file of the folder; return its path.

    :raises UnwritableColumn: as ``write_answer``.
    :raises AnswerTooLarge: it would take more than ``most_mb``; other forms may be smaller.
    :raises DiskUnavailable: there is no room for it.
    """
    with _made(folder) as file:
        sink: Any = _Bounded(file, most_mb)
        write_answer(answer, media_type, sink, int64_as_text=int64_as_text)
    return file.name


def gzip_file(path: str, *, folder: str) -> str:
    """Return a new file of the folder that has the other's bytes as gzip; the other is removed.

    :raises DiskUnavailable: there is no room for it.
    """
    try:
        with (
            Path(path).open("rb") as whole,
            _made(folder) as file,
            gzip.GzipFile(fileobj=file, mode="wb", compresslevel=LEVEL, mtime=0) as press,
        ):
            shutil.copyfileobj(whole, press, _PIECE)
        return file.name
    finally:
        remove(path)


@contextmanager
def _made(folder: str) -> Iterator[IO[bytes]]:
    """Give a new file of the folder, which stays where all went well."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix="answer-", delete=False) as file:
        try:
            yield file
            file.flush()
        except BaseException as exc:
            remove(file.name)
            if isinstance(exc, OSError) and (lacking := outage(exc)) is not None:
                raise lacking from exc
            raise


class _Bounded:
    """A sink that takes so much and no more."""

    def __init__(self, file: IO[bytes], most_mb: int) -> None:
        self._file, self._most_mb = file, most_mb

    closed = False

    def write(self, data: bytes) -> int:
        written = self._file.write(data)
        if self._file.tell() > self._most_mb << 20:
            raise AnswerTooLarge(
                f"the answer takes more than {self._most_mb} MB; ask for Parquet, for fewer rows or"
                " for fewer features.",
                limit=self._most_mb,
            )
        return written

    def tell(self) -> int:
        return self._file.tell()

    def flush(self) -> None:
        self._file.flush()
