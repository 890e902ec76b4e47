"""How much one answer holds: a model reads all of it, and pays for it.
Not for how much the Assay server answers; it has limits of its own.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

from mcp.server.mcpserver.exceptions import ToolError

T = TypeVar("T")
MAX_CHARACTERS = 60_000
MAX_ROWS = 100
MAX_LISTED = 50


def bounded(answer: T, advice: str) -> T:
    """Return an answer that is short enough.

    :raises ToolError: it is not; ``advice`` says how to ask for less.
    """
    size = len(json.dumps(answer, ensure_ascii=False, default=str))
    if size > MAX_CHARACTERS:
        raise ToolError(
            f"the answer has {size:,} characters; one holds at most {MAX_CHARACTERS:,}. {advice}"
        )
    return answer


def check_limit(limit: int) -> int:
    """:raises ToolError: no list is so long, or so short."""
    if not 1 <= limit <= MAX_LISTED:
        raise ToolError(f"limit is {limit}; ask for 1 to {MAX_LISTED}.")
    return limit


def check_entities(entities: dict[str, list[Any]]) -> None:
    """:raises ToolError: there are more rows than one answer tells of."""
    rows = max(map(len, entities.values()), default=0)
    if rows > MAX_ROWS:
        raise ToolError(f"{rows} entities; ask about at most {MAX_ROWS} in one call.")
