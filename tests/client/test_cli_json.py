"""With --json every command answers JSON alone: the parser is walked, and each is run."""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from assay.cli import main
from assay.cli.app import make_parser
from tests.client.conftest import Peer, Prepared
from tests.client.test_imports import FEATURES, SHOP

#: What an argument is given, by its name; others a word.
GIVEN = {
    "start": "2026-01-01",
    "end": "2026-01-02",
    "reference": "view@1.2.0",
    "packets": "view@1.2.0=0a",
    "dataset": "churn@3",
    "files": "rows.yaml",
    "paths": "rows.csv",
    "output": "out.parquet",
    "entity": "id=1",
    "place": "oldest",
}
#: What a command wants besides, which its parser does not know.
ALSO = {
    "grants ask": "--view view --days 3",
    "accounts change": "--staff true",
    "get-online-features": "-f v:f",
    "get-feature-context": "-f v:f",
    "search-vectors": "--vector [1]",
    "get-historical-features": "-f v:f --at 2026-01-01",
    "datasets create": "-f v:f --at 2026-01-01",
    "audit": "--format jsonl -o trail.jsonl",
}
#: Speaks a protocol of its own on its standard output.
PROTOCOLS = {"mcp"}
ROWS = b"rows"
SHA256 = hashlib.sha256(ROWS).hexdigest()
VERSION = {"name": "view", "version": "1.2.0", "state": "approved", "default": True}
#: An object with what any of them has.
OBJECT = {
    **VERSION,
    "id": 7,
    "status": "done",
    "results": [],
    "next": None,
    "read": 1,
    "step": "done",
    "progress": "all",
    "feature_view": "view",
    "kind": "backfill",
    "error": None,
    "unseconded": False,
    "token": "a-token",
    "expires_at": "2027-01-01T00:00:00Z",
    "changes": [],
    "prefix": "as",
    "proposal": None,
    "alone": False,
    "account": {"user": "ana", "name": "view"},
    "password": "a-password",
    "ok": True,
    "project": "rides",
    "objects": [],
    "definitions": [],
    "warnings": [],
    "explain": [],
    "sha256": SHA256,
    "rows": 1,
    "verdict": "equal",
    "default_version": "1.2.0",
    "found": {"rows": 1},
    "manifest_hash": "0b",
    "manifest": {
        "warnings": [],
        "features": [],
        "views": [],
        "rows": {"sha256": SHA256, "content_hash": "0c"},
    },
}
ONLINE: dict[str, Any] = {
    "metadata": {"feature_names": ["id"]},
    "results": [{"values": [1], "statuses": ["PRESENT"], "event_timestamps": [None]}],
}
ANSWERS = {
    "GET /api/v1/projects": {"results": [{"name": "word"}], "next": None},
    "POST get-online-features": ONLINE,
    "POST get-feature-context": {"metadata": {}, "results": []},
    "POST search": {"metadata": {"value_types": {}, "is_behind": False}, "hits": []},
    "POST push": {
        "rows": 1,
        "taken": 1,
        "refused": [],
        "refused_count": 0,
        "feature_views": [],
        "received_at": "2026-01-01T00:00:00Z",
    },
    "POST compute": {
        "metadata": {**ONLINE["metadata"], "warnings": []},
        "results": ONLINE["results"],
    },
    "GET runs/7": {**OBJECT, "status": "succeeded"},
    "GET datasets/churn/3": {**OBJECT, "name": "churn", "version": 3},
    "GET usage": {
        "results": [],
        "count": 0,
        "sees": "own",
        "since": "2026-01-01T00:00:00Z",
        "counted_until": None,
        "kept_days": 90,
        "dropped": None,
        "samples": [],
        "samples_dropped": 0,
        "compared": [],
        "next": None,
    },
    "POST dead-letters/7/dismiss": {"dismissed": 1, "still_alike": 0, "letter": OBJECT},
    "POST materialize": {"runs": [OBJECT]},
    "POST materialize-incremental": {"runs": [OBJECT]},
}


def commands(parser: argparse.ArgumentParser, *words: str) -> Iterator[str]:
    """Give a line for each command of the parser, with what it requires, not waiting."""
    inner = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    for group in inner:
        for name, below in group.choices.items():
            yield from commands(below, *words, name)
    if not inner and " ".join(words) not in PROTOCOLS:
        wanted = [word for each in parser._actions for word in required(each)]
        yield " ".join([*words, *wanted, *ALSO.get(" ".join(words), "").split()])


def required(action: argparse.Action) -> list[str]:
    if "--no-wait" in action.option_strings:
        return ["--no-wait"]
    if action.option_strings:
        return [action.option_strings[0], value_of(action)] if action.required else []
    return [] if action.nargs in ("?", "*") else [value_of(action)]


def value_of(action: argparse.Action) -> str:
    if action.choices:
        return str(next(iter(action.choices)))
    return GIVEN.get(action.dest) or ("7" if action.type is int else "word")


class Willing(Peer):
    """Answers every question: with what is prepared, a file, or an object with all that is."""

    def take(self, key: str) -> Prepared:
        if key in self.answers:
            return super().take(key)
        if key.endswith(("download", "get-historical-features", "audit/export")):
            kind = "application/vnd.apache.parquet"
            return Prepared(200, ROWS, {"Content-Type": kind, "ETag": '"a"'})
        return Prepared(200, json.dumps(OBJECT).encode(), {"Content-Type": "application/json"})


@pytest.fixture
def willing(peer: Peer) -> Peer:
    peer.__class__ = Willing
    for call, answer in ANSWERS.items():
        peer.answers_with(call, answer)
    return peer


@pytest.mark.parametrize("line", list(commands(make_parser())))
def test_each_command_answers_json_alone(line, willing, capsys, tmp_path, monkeypatch):
    (tmp_path / "rows.csv").write_text("id,at,amount\n1,2026-01-01T00:00:00Z,2.5\n")
    (tmp_path / "rows.yaml").write_text("kind: Entity\nname: rider\n")
    if line in ("push word word", "compute word word"):
        (tmp_path / "word").write_text('{"id": 1}\n')
    elif line == "import feast word":
        shutil.copy(SHOP / "registry.bin", tmp_path / "word")
    elif line == "import autofs word":
        (tmp_path / "word").mkdir()
        (tmp_path / "word" / "a.yaml").write_text(FEATURES)
    monkeypatch.setattr("sys.stdin", io.StringIO("a-password\n"))
    at = ("--url", willing.url, "--token", "t", "--project", "rides")

    code = main(["--json", *at, *line.split()])

    out, err = capsys.readouterr()
    assert code == 0, err
    assert json.loads(out) is not None
