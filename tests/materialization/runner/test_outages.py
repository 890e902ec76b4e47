"""A run that meets a full disk or a database that is away waits for it and is tried again."""

from __future__ import annotations

from pathlib import Path

import pytest

from materialization.requests.runs import request_run
from materialization.runner import run as runner
from tests.materialization.run_world import AT, fresh, perform

pytestmark = pytest.mark.django_db


def test_a_full_disk_is_waited_for_and_then_said(version, monkeypatch):
    run = request_run(version=fresh(version), window_end=AT, at=AT, actor=None)
    with monkeypatch.context() as disk:
        disk.setattr(
            runner.storing, "store_missing", lambda *_: Path("/dev/full").write_bytes(b"x")
        )
        for attempt in (1, 2):
            with pytest.raises(runner.Unavailable, match="No space left on device"):
                perform(run)
            run.refresh_from_db()
            assert (run.status, run.error_code) == ("queued", "disk_unavailable")
            assert run.attempt == attempt

    assert perform(run).status == "succeeded"
