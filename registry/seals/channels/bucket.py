"""A bucket: an object for each seal, below a prefix; with a lock on objects nobody overwrites them.

Credentials and region are the environment's, as ``pyarrow.fs`` reads them.
"""

from __future__ import annotations

from pyarrow import ArrowException
from pyarrow.fs import FileSelector, FileSystem, FileType

from registry.seals.channels.base import MOST_BYTES, SealChannelFailed


def publish(address: str, line: str, name: str) -> None:
    try:
        store, path = FileSystem.from_uri(address)
        with store.open_output_stream(f"{path.rstrip('/')}/{name}.json") as stream:
            stream.write(f"{line}\n".encode())
    except (OSError, ArrowException) as exc:
        raise SealChannelFailed(f"{_without_secret(address)}: {exc}") from exc


def fetch(address: str) -> str:
    """Return the seals of one object, or of all below a prefix."""
    try:
        store, path = FileSystem.from_uri(address)
        if store.get_file_info(path).type is FileType.File:
            paths = [path]
        else:
            found = store.get_file_info(FileSelector(path.rstrip("/")))
            paths = sorted(each.path for each in found if each.type is FileType.File)
        text = ""
        for each in paths:
            with store.open_input_stream(each) as stream:
                text += stream.read(MOST_BYTES - len(text)).decode(errors="replace")
    except (OSError, ArrowException) as exc:
        raise SealChannelFailed(f"{_without_secret(address)}: {exc}") from exc
    return text


def _without_secret(address: str) -> str:
    return address.partition("?")[0].rpartition("@")[2]
