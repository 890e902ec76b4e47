"""What of a call's arguments does not fit, in words that a model can go on with.
Not for what the Assay server refuses of them; see callers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mcp.server.mcpserver.exceptions import ToolError
from pydantic import ValidationError

#: Things wrong that one answer names, and characters of each value.
MAX_PROBLEMS = 20
MAX_VALUE = 80
#: What is to be given, by how the kinds of pydantic's errors begin.
WANTED = {
    "bool": "true or false",
    "dict": "an object",
    "float": "a number",
    "int": "a whole number",
    "list": "a list",
    "string": "a text",
}


def check_names(tool: str, given: Iterable[str], takes: Sequence[str]) -> None:
    """:raises ToolError: the tool has no such argument; it would be left out in silence."""
    unknown = [json.dumps(_cut(name)) for name in given if name not in takes]
    if unknown:
        more = f" and {len(unknown) - MAX_PROBLEMS} more" if len(unknown) > MAX_PROBLEMS else ""
        raise ToolError(
            f"{tool} has no argument {', '.join(unknown[:MAX_PROBLEMS])}{more}. {_takes(takes)}"
        )


def in_words(tool: str, error: ValidationError, takes: Sequence[str]) -> str:
    """Say of each value that does not fit where it is, what it is, and what to give instead."""
    found = error.errors(include_url=False, include_context=True)
    said = [_problem(each) for each in found[:MAX_PROBLEMS]]
    if len(found) > MAX_PROBLEMS:
        said.append(f"and {len(found) - MAX_PROBLEMS} more.")
    return f"{tool} was not called. {' '.join(said)} {_takes(takes)}"


def _problem(found: Mapping[str, Any]) -> str:
    first, *others = found["loc"]
    place = f"{first}{''.join(f'[{json.dumps(each)}]' for each in others)}"
    kind, expected = found["type"], found.get("ctx", {}).get("expected")
    if kind == "missing":
        return f"{place} is missing."
    wanted = f"one of {expected}" if expected else WANTED.get(kind.partition("_")[0])
    given = _cut(json.dumps(found["input"], ensure_ascii=False, default=str))
    return f"{place} is {given}; " + (f"give {wanted}." if wanted else f"{found['msg']}.")


def _takes(names: Sequence[str]) -> str:
    return f"Call it again with what it takes: {', '.join(names)}."


def _cut(text: str) -> str:
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}…"
