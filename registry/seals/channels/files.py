"""A file to which a line is added: on a disk that others keep, or one that only takes appends."""

from __future__ import annotations

import os
from pathlib import Path

from registry.seals.channels.base import MOST_BYTES, SealChannelFailed


def path_of(address: str) -> Path:
    return Path(address.removeprefix("file://"))


def publish(address: str, line: str, name: str) -> None:
    """Add the line, and wait until it is on the disk."""
    path = path_of(address)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as exc:
        raise SealChannelFailed(f"{path}: {exc.strerror}") from exc


def fetch(address: str) -> str:
    path = path_of(address)
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES).decode(errors="replace")
    except OSError as exc:
        raise SealChannelFailed(f"{path}: {exc.strerror}") from exc
