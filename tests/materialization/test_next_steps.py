"""Whoever is refused by a source or a store is told what to do next, whatever refuses.

Read from the code: where an error is made, its words have a clause after the one that says what is
wrong, or it is of a kind that puts one there by itself.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

import materialization
from lib.errors import AssayError
from materialization.errors import SourceRefused, SourceUnavailable
from materialization.runner.heartbeat import LeaseLost, RunPaused
from materialization.stores import s3
from materialization.stores.offline_protocol import OfflineStoreUnavailable
from materialization.stores.push_log import StreamMoved

#: What a process tells itself: another worker has the run, somebody paused it, a stream moved on.
TO_NOBODY = (LeaseLost, RunPaused, StreamMoved)
HOME = Path(materialization.__file__).parent
FOLDERS = (
    "finding", "stores", "sources", "compute", "confined", "edges", "ingest", "quality", "runner",
    "sandbox", "transforms",
)  # fmt: skip
#: A clause of its own, which something is said before.
CLAUSE = re.compile(r"[\w)}'\"`][;.?:](?:{})? \S")
#: The end is written elsewhere.
OTHERS = ("{}", "{}.")


def words_of(node: ast.expr) -> str:
    """Return the texts in an expression; ``{}`` where something else stands."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(
                "{}" if isinstance(p, ast.FormattedValue) else words_of(p) for p in parts
            )
        case ast.BinOp(left=left, right=right):
            return words_of(left) + words_of(right)
    return "{}"


def made(path: Path) -> list[tuple[type[AssayError], ast.Call]]:
    """Return where a module makes an error with words of its own, and of which kind."""
    module = ".".join(path.relative_to(HOME.parent).with_suffix("").parts)
    known = vars(importlib.import_module(module.removesuffix(".__init__")))
    calls = [each for each in ast.walk(ast.parse(path.read_text())) if isinstance(each, ast.Call)]
    found = [(known.get(call.func.id), call) for call in calls if isinstance(call.func, ast.Name)]
    return [
        (kind, call)
        for kind, call in found
        if isinstance(kind, type)
        and issubclass(kind, AssayError)
        and kind not in TO_NOBODY
        and "message" in inspect.signature(kind).parameters
    ]


FILES = sorted(path for folder in FOLDERS for path in (HOME / folder).rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HOME)))
def test_each_refusal_says_what_to_do(path):
    lacking = []
    for kind, call in made(path):
        words, step = words_of(call.args[0]), inspect.signature(kind).parameters.get("step")
        has_step = any(each.arg == "step" for each in call.keywords) or (step and step.default)
        if not (has_step or words.endswith(OTHERS) or CLAUSE.search(words)):
            lacking.append(f"{path.name}:{call.lineno}: {kind.__name__}: {words}")

    assert lacking == []


@pytest.mark.parametrize("why", [each for each in vars(s3).values() if isinstance(each, s3.Why)])
def test_what_storage_says_has_a_step(why):
    assert why.words
    assert why.step


@pytest.mark.parametrize("kind", [SourceUnavailable, OfflineStoreUnavailable])
def test_what_passes_is_tried_again_unless_something_else_helps(kind):
    assert "again" in kind("it is away").message
    assert kind("it is away.", step="mend it").message == "it is away; mend it."
    assert SourceRefused("no.").message == "no."
