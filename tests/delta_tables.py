"""Delta tables as other programs leave them, for tests: also with what our library cannot write.

Not for tables of the offline store.
"""

from __future__ import annotations

import base64
import json
import struct
import time
from pathlib import Path

#: Z85, which logs use, beside the alphabet of Python's own base 85.
_Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_B85 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"


def commit(table: Path, *actions: dict) -> None:
    """Write the next entry of a table's log."""
    log = table / "_delta_log"
    number = max(int(path.stem) for path in log.glob("[0-9]*.json") if path.stem.isdigit()) + 1
    lines = "\n".join(json.dumps(action) for action in actions)
    (log / f"{number:020d}.json").write_text(lines)


def actions_of(table: Path) -> list[dict]:
    """Return every action of a table's log, in order."""
    entries = sorted((table / "_delta_log").glob("[0-9]*.json"))
    return [json.loads(line) for path in entries for line in path.read_text().splitlines()]


def live_adds(table: Path) -> dict[str, dict]:
    """Return the action that added each file the table has now, by the path in the log."""
    found: dict[str, dict] = {}
    for action in actions_of(table):
        if "remove" in action:
            found.pop(action["remove"]["path"], None)
        if "add" in action:
            found[action["add"]["path"]] = action["add"]
    return found


def delete_by_vector(table: Path, path: str, rows: list[int]) -> None:
    """Delete rows of a file as engines with deletion vectors do: the file stays as it is."""
    add = live_adds(table)[path]
    bitmap = _bitmap(sorted(rows))
    vector = {
        "storageType": "i", "pathOrInlineDv": _z85(bitmap), "sizeInBytes": len(bitmap),
        "cardinality": len(rows),
    }  # fmt: skip
    removed = {
        "path": path, "deletionTimestamp": int(time.time() * 1000), "dataChange": True,
        "deletionVector": add.get("deletionVector"),
    }  # fmt: skip
    features = ["deletionVectors"]
    protocol = {
        "minReaderVersion": 3, "minWriterVersion": 7,
        "readerFeatures": features, "writerFeatures": features,
    }  # fmt: skip
    is_new = not any("deletionVectors" in str(each.get("protocol")) for each in actions_of(table))
    commit(
        table,
        *([{"protocol": protocol}] if is_new else []),
        {"remove": {key: value for key, value in removed.items() if value is not None}},
        {"add": {**add, "deletionVector": vector, "dataChange": True}},
    )


def _bitmap(rows: list[int]) -> bytes:
    """Return a RoaringBitmapArray of one bitmap with one array container."""
    container = struct.pack(f"<{len(rows)}H", *rows)
    head = struct.pack("<II", 12346, 1) + struct.pack("<HH", 0, len(rows) - 1)
    bitmap = head + struct.pack("<I", len(head) + 4) + container
    return struct.pack("<iqi", 1681511377, 1, 0) + bitmap


def _z85(given: bytes) -> str:
    padded = given + b"\0" * (-len(given) % 4)
    return base64.b85encode(padded).decode().translate(str.maketrans(_B85, _Z85))
