"""The child process: what reaches it, what it leaves behind, how it ends.

Not for what it computes and refuses: every engine does that (``tests/contracts/test_engine.py``).
"""

from __future__ import annotations

import os
import signal
import time

import msgspec
import pyarrow as pa
import pytest

from materialization.compute.child import compute, start_child
from materialization.compute.jobs import ComputeJob
from materialization.compute.limits import EngineLimits
from materialization.errors import EngineStopped
from materialization.sources.files import resolve_source
from materialization.stores.columns import INSTANT
from tests.materialization.engine_cases import (
    END,
    at,
    make_spec,
    slow_spec,
    write_parquet,
)

LIMITS = EngineLimits(memory_limit_mb=256, threads=1, timeout_s=30)
T = at("2024-03-01T12:00")
SCHEMA = pa.schema([("k", pa.int64()), ("event", INSTANT), ("x", pa.float64())])


def job(root, spec, **window):
    source = resolve_source(spec.source, root=str(root))
    return ComputeJob(spec, source, **{"window_end": END, **window})


@pytest.fixture
def rows(tmp_path):
    write_parquet(tmp_path, [{"k": n, "event": T, "x": float(n)} for n in range(5)], SCHEMA)
    return tmp_path


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_works_from_any_directory_and_leaves_nothing_behind(rows, tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    temp = tmp_path_factory.mktemp("private")

    limits = msgspec.structs.replace(LIMITS, temp_root=str(temp))
    staging = tmp_path_factory.mktemp("staging")
    given = msgspec.structs.replace(job(rows, make_spec()), staging=str(staging))
    computed = compute(given, limits, watch=lambda share: None)

    assert computed.counters.rows == 5
    assert list(temp.iterdir()) == []
    assert [str(each) for each in staging.rglob("*.parquet")] == list(computed.files)


def test_the_environment_does_not_reach_the_child(rows, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "do-not-tell")

    with start_child(job(rows, make_spec()), LIMITS) as child:
        environment = open(f"/proc/{child.pid}/environ").read()  # noqa: PTH123, SIM115

    assert "SECRET_KEY" not in environment
    assert "PATH" not in environment


def test_leaving_early_ends_the_child(tmp_path):
    with start_child(job(tmp_path, slow_spec(tmp_path)), LIMITS) as child:
        next(child.shares())
        assert is_alive(child.pid)
        # Niceness counts among those of one session only where the kernel groups by session.
        assert (os.getpgid(child.pid), os.getsid(child.pid)) == (child.pid, os.getsid(0))

    assert not is_alive(child.pid)


def test_a_killed_child_may_be_tried_again(tmp_path):
    spec = slow_spec(tmp_path)
    with pytest.raises(EngineStopped), start_child(job(tmp_path, spec), LIMITS) as child:
        os.kill(child.pid, signal.SIGKILL)
        child.report()


def test_the_child_dies_with_its_parent(tmp_path):
    spec = slow_spec(tmp_path)
    read, write = os.pipe()
    parent = os.fork()
    if parent == 0:
        with start_child(job(tmp_path, spec), LIMITS) as child:
            os.write(write, str(child.pid).encode())
            time.sleep(30)
    pid = int(os.read(read, 20))
    time.sleep(0.5)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)

    ends = time.monotonic() + 60
    while _runs(pid) and time.monotonic() < ends:
        time.sleep(0.05)
    assert not _runs(pid)


def _runs(pid):
    """Say whether the process runs; a zombie nobody waits for does not."""
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
