"""The README's walk with one's own data: its very commands, on a real server with its worker."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import servers

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.journey

GIVEN, OWN = "given-9d-Kfs_2xk", "own-9d-Kfs_2xk-long"
BLOCK = re.compile(r"```(bash|python)\n(.*?)```", re.DOTALL)
#: What people would type where a command asks for it.
TYPED = {
    "create_user": f"{GIVEN}\n",
    "assay login": f"{GIVEN}\n{OWN}\n",
}


def blocks() -> list[tuple[str, str]]:
    text = (servers.ROOT / "README.md").read_text()
    _, _, walk = text.partition("## Your own data")
    return BLOCK.findall(walk.partition("\n## ")[0])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[servers.Server]:
    state = tmp_path / "state"
    state.mkdir()
    roots = str(servers.ROOT / "examples" / "shop")
    with servers.assay_server(state, FILE_ROOTS=roots, SWEEP_EVERY_SECONDS="1") as running:
        yield running


class Terminal:
    """Somebody who types the README, line by line, in a folder of their own."""

    def __init__(self, server: servers.Server, folder: Path) -> None:
        self._folder = folder
        self._env = {**server.env, "DJANGO_SUPERUSER_PASSWORD": OWN}
        self._url = server.url
        # Where the README's reader is: a checkout, whose environment is beside it.
        for name in ("examples", "manage.py"):
            (folder / name).symlink_to(servers.ROOT / name)

    def run(self, line: str) -> str:
        typed = next((text for what, text in TYPED.items() if what in line), "")
        line = line.replace("http://127.0.0.1:8000", self._url)
        if line.startswith("export "):
            for name, _, value in (each.partition("=") for each in line.split()[1:]):
                self._env[name] = value.replace("$PWD", str(servers.ROOT))
            return ""
        line = line.replace(".venv/bin/python", sys.executable)
        line = line.replace(".venv/bin/assay", f"{sys.executable} -m assay")
        line = line.replace("createsuperuser", "createsuperuser --no-input")
        return self._ran(["bash", "-c", line], typed)

    def python(self, code: str) -> list[str]:
        return self._ran([sys.executable, "-c", code], "").splitlines()

    def _ran(self, command: list[str], typed: str) -> str:
        done = subprocess.run(
            command,
            cwd=self._folder,
            env={**self._env, "PYTHONPATH": str(servers.ROOT), "COLUMNS": "200"},
            input=typed,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command[-1]}\n{done.stdout}{done.stderr}"
        return done.stdout


def test_the_walk_from_a_file_to_an_answer_is_as_it_is_written(server, tmp_path):
    folder = tmp_path / "reader"
    folder.mkdir()
    terminal = Terminal(server, folder)
    said: dict[str, str] = {}
    (_, serve), *walk = blocks()
    assert serve.startswith("FILE_ROOTS=$PWD/examples/shop make serve"), "the server runs already"

    for kind, text in walk:
        if kind == "python":
            continue
        for line in text.splitlines():
            if "HASH-OF-THE-REVIEW" in line:
                line = line.replace("HASH-OF-THE-REVIEW", packet_of(terminal))
            said[line] = terminal.run(line)

    planned = next(text for line, text in said.items() if "assay plan" in line)
    assert "purchases" in planned
    (program,) = (text for kind, text in walk if kind == "python")
    for name in ("ada.token", "grace.token"):
        assert (folder / name).stat().st_mode & 0o077 == 0
    online, historical = answers(terminal, program)
    assert re.search(r"'category': \['(tea|bread|books|shoes)'\]", online), online
    assert re.search(r"'amount': \[[\d.]+, [\d.]+\]", historical), "both had bought before"


def packet_of(terminal: Terminal) -> str:
    """Return the hash that the review shows once its evidence is there."""
    deadline = time.monotonic() + 120
    while True:
        review = terminal.run(".venv/bin/assay review purchases@1.0.0")
        found = re.search(r"\b[0-9a-f]{64}\b", review)
        if found and "evidence: a worker computes it" not in review:
            return found[0]
        assert time.monotonic() < deadline, review
        time.sleep(0.5)


def answers(terminal: Terminal, program: str) -> list[str]:
    """Return what the program prints, once a worker has stored the rows."""
    deadline = time.monotonic() + 120
    while True:
        try:
            found = terminal.python(program)
            if "None" not in found[0]:
                return found
        except AssertionError:
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline
        time.sleep(1)
