"""What things may be called: objects and features, columns that identify, tables elsewhere. [pure]

Not for whether a name is taken: ``operations.registration`` knows.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.reading.findings import Found
    from registry.reading.yaml_documents import Path

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
#: A table of another system, with its schema or without; written in quotes wherever it is used.
TABLE = re.compile(r'(?:[^."\x00]{1,63}\.)?[^."\x00]{1,63}')
COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
#: Names the stored tables, their readers and the answers use themselves.
RESERVED = (
    "event_timestamp", "created_timestamp", "timing", "explain", "filename", "file_row_number",
)  # fmt: skip


def name_problems(path: Path, name: str) -> Iterator[Found]:
    if not NAME.fullmatch(name):
        rule = "use lower-case letters, digits and _, beginning with a letter, at most 63."
        yield path, f"name {name!r}: {rule}"
    elif name in RESERVED or "__" in name:
        yield path, f"name {name!r} is reserved (so is any with two underscores together)."


def column_name_problems(path: Path, name: str) -> Iterator[Found]:
    """Join keys are columns of other people's data: any case, but no odd characters."""
    if not COLUMN.fullmatch(name) or name.lower() in RESERVED or "__" in name:
        rule = f"use letters, digits and single _; taken are {', '.join(RESERVED)}."
        yield path, f"join key {name!r}: {rule}"
