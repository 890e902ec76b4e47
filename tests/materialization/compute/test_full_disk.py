"""A disk that is full while the engine spills is said to be full, wherever it happens."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib.outages import DiskUnavailable
from materialization.compute.engine import ENGINES
from materialization.compute.limits import EngineLimits
from materialization.stores.columns import INSTANT, stored_schema
from tests.materialization.engine_cases import at, make_spec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SPEC = make_spec(keys=(("k", "string"),))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a few megabytes; needs the right to mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("engine", ENGINES)
def test_it_is_not_the_stored_rows_that_cannot_be_read(engine, tmp_path, small_disk):
    size = 1_000_000
    times = pa.repeat(pa.scalar(at("2024-03-01T12:00"), INSTANT), size)
    columns = {
        "k": pa.array([f"key number {n}" for n in range(size)]),
        "event_timestamp": times,
        "created_timestamp": times,
        "__sequence": pa.array(range(size), pa.int64()),
        "x": pa.repeat(1.0, size),
    }
    path = tmp_path / "many.parquet"
    pq.write_table(pa.table(columns, schema=stored_schema(SPEC)), path)
    limits = EngineLimits(memory_limit_mb=60, threads=1, timeout_s=60, temp_root=str(small_disk))

    with (
        pytest.raises(DiskUnavailable, match="No space left on device. Make room"),
        ENGINES[engine](limits).latest_rows([str(path)], SPEC) as reader,
    ):
        reader.read_all()
