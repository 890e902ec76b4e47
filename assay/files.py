"""Files of training sets on this machine: what their names say, and writing one whole or not.
Not for what is in them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from assay.errors import Invalid, why_unreadable
from assay.historical import ARROW_STREAM

CONTENT_TYPES = {
    ".parquet": "application/vnd.apache.parquet",
    ".csv": "text/csv",
    ".arrow": ARROW_STREAM,
    ".arrows": ARROW_STREAM,
}


def content_type(path: Path) -> str:
    """Give the media type that the suffix of ``path`` stands for."""
    found = CONTENT_TYPES.get(path.suffix.lower())
    if found is None:
        known = ", ".join(CONTENT_TYPES)
        raise Invalid(f"{path}: the suffix must be one of {known}", path=str(path))
    return found


def opened_frame(source: Path) -> IO[bytes]:
    try:
        body = source.open("rb")
    except OSError as exc:
        message = f"{source} cannot be read: {why_unreadable(exc)}"
        raise Invalid(message, path=str(source)) from exc
    if not os.fstat(body.fileno()).st_size:
        body.close()
        message = f"{source} is empty; an entity frame has columns: join keys and event_timestamp"
        raise Invalid(message, path=str(source))
    return body


def replace_file(target: Path, chunks: Iterable[bytes]) -> None:
    """Write beside ``target`` and move over it, so that no half file is ever there."""
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as exc:
        raise _unwritable(target, exc) from exc
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(chunks)
        part.chmod(0o666 & ~_umask())  # mkstemp makes it private; an output is an ordinary file
        part.replace(target)
    except BaseException as exc:
        part.unlink(missing_ok=True)
        if isinstance(exc, OSError):
            raise _unwritable(target, exc) from exc
        raise


def _unwritable(target: Path, exc: OSError) -> Invalid:
    return Invalid(f"{target} cannot be written: {why_unreadable(exc)}", path=str(target))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
