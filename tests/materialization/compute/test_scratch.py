"""Folders the engine spills into: a process's own while it lives, removed when it was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from materialization.compute import scratch
from materialization.edges.engines import engine
from tests import servers

LATER = 120
#: Makes its folder, spills into it, says where, and waits to be killed.
SPILL = """
import sys, time
from pathlib import Path
from materialization.compute.scratch import own_folder
spill = Path(own_folder()) / "assay-engine-a" / "spill"
spill.mkdir(parents=True)
(spill / "duckdb_temp_storage-0.tmp").write_bytes(bytes(3_000_000))
print(own_folder(), flush=True)
if "wait" in sys.argv:
    time.sleep(60)
"""


@pytest.fixture
def temp(tmp_path, monkeypatch) -> Path:
    """A temporary folder of the system for this test alone."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(scratch, "_kept", [])
    return tmp_path


def started(*arguments: str) -> tuple[subprocess.Popen[str], Path]:
    command = [sys.executable, "-c", SPILL, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=servers.ROOT)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def age(folder: Path) -> None:
    then = time.time() - LATER
    os.utime(folder, (then, then))


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_has_is_not(temp):
    (dead, left), (living, used) = started("wait"), started("wait")
    try:
        assert (left.parent, used.parent) == (temp, temp)
        age(left)
        age(used)
        assert scratch.remove_left_behind() == 0

        dead.send_signal(signal.SIGKILL)
        dead.wait()

        assert scratch.remove_left_behind() == 3_000_000
        assert (left.exists(), used.exists()) == (False, True)
    finally:
        living.kill()
        living.wait()


def test_a_process_that_ends_leaves_nothing(temp):
    process, folder = started()

    assert process.wait(60) == 0
    assert not folder.exists()


def test_a_folder_that_was_made_a_moment_ago_may_be_somebodys(temp):
    process, folder = started("wait")
    process.kill()
    process.wait()

    assert scratch.remove_left_behind() == 0
    assert folder.exists()


@pytest.mark.parametrize("kind", ["file", "link", "another name"])
def test_nothing_else_is_touched(temp, tmp_path_factory, kind):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "data").write_text("x")
    path = temp / f"{scratch._PREFIX}abc"
    if kind == "file":
        path.write_text("x")
    elif kind == "link":
        path.symlink_to(elsewhere)
    else:
        path = temp / "assay-engine-abc"
        path.mkdir()
    age(path if kind != "link" else elsewhere)

    assert scratch.remove_left_behind() == 0
    assert (path.exists(), (elsewhere / "data").exists()) == (True, True)


def test_a_forked_process_has_a_folder_of_its_own(temp):
    ours = scratch.own_folder()
    reader, writer = os.pipe()
    if not (child := os.fork()):
        os.write(writer, scratch.own_folder().encode())
        os._exit(0)
    os.waitpid(child, 0)

    theirs = os.read(reader, 1000).decode()

    assert theirs != ours
    assert Path(theirs).parent == Path(ours).parent == temp


def test_one_that_was_removed_by_hand_is_made_again(temp):
    first = Path(scratch.own_folder())
    first.rmdir()

    assert scratch.own_folder() != str(first)
    assert Path(scratch.own_folder()).is_dir()


def test_the_engine_works_there(temp):
    assert Path(engine()._limits.temp_root).parent == temp
