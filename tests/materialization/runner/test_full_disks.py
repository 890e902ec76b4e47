"""An offline store whose disk fills up in the middle of a run: nothing is half there."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lib.errors import Unavailable
from materialization.runner import run as runner
from tests.factories import make_version
from tests.materialization.run_world import AT, ROWS, ask, committed, perform, write_rows
from tests.materialization.runner.test_lost_connections import everything_is_there
from tests.materialization.soak.faults import meanwhile

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.django_db


@pytest.fixture
def small_disk(settings, tmp_path: Path) -> Iterator[Path]:
    """A store on a disk of its own; needs the right to mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    settings.OFFLINE_STORE = folder / "offline"
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> None:
    """Leave no room at all."""
    with (folder / "ballast").open("ab", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 4096):
            pass


@pytest.mark.parametrize("number", range(4, 48, 8))
def test_a_disk_that_is_full_from_any_step_on(cast, sources, small_disk, number):
    """Staging, the table's files, its log: the run is tried again, and ends when there is room."""
    write_rows(sources, ROWS)
    with committed():
        version = make_version(cast)
        run = ask(version)

    with committed(), meanwhile(number, lambda: fill(small_disk)), suppress(Unavailable):
        runner.run(run_id=run.pk, worker="a", clock=lambda: AT)
    run.refresh_from_db()
    was_full = run.status == "queued"
    if was_full:
        assert run.error_code == "disk_unavailable", run.error
        assert "No space left" in run.error
        assert f"MB in {small_disk}/offline" in run.error.partition("Left: ")[2]
    (small_disk / "ballast").unlink(missing_ok=True)

    perform(run, at=AT + timedelta(minutes=1))

    assert run.status == "succeeded", (run.error, run.traceback)
    assert run.attempt == 1 + was_full
    everything_is_there(version)
