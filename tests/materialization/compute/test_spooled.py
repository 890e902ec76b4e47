"""What one question may take of the disk, whatever it takes it for."""

from __future__ import annotations

import pyarrow as pa
import pytest

from materialization.compute.duckdb_engine import DuckDBEngine
from materialization.compute.limits import EngineLimits
from materialization.compute.spooled import DiskBudget
from materialization.errors import EngineLimitExceeded
from tests.contracts.test_engine_joins import NOON, asked, at, row

LIMITS = EngineLimits(memory_limit_mb=256, threads=1, timeout_s=60, temp_limit_mb=2)
BATCH = pa.record_batch({"x": pa.array(range(100_000), pa.int64())})


@pytest.fixture
def question(tmp_path):
    """Its answer takes more than one MB and less than two."""
    entities = [at(NOON)] * 60_000
    return asked(tmp_path, [row(NOON)], entities)


def test_several_views_share_one_budget(question):
    engine = DuckDBEngine(LIMITS)
    assert engine.point_in_time_joins([question])[0].rows.num_rows == 60_000

    with pytest.raises(EngineLimitExceeded, match="more than 2 MB of the server's disk"):
        engine.point_in_time_joins([question, question])
    assert len(engine.point_in_time_joins([question])) == 1  # another question has another


def test_what_is_spilled_beside_an_answer_counts(tmp_path):
    spill = tmp_path / "spill"
    limits = EngineLimits(temp_limit_mb=2, temp_root=str(tmp_path))
    spooled = DiskBudget(limits).spooled([BATCH], BATCH.schema, spill=str(spill))
    assert spooled.num_rows == 100_000

    spill.mkdir()
    (spill / "duckdb_temp_storage-0.tmp").write_bytes(bytes(1 << 21))
    with pytest.raises(EngineLimitExceeded, match="disk"):
        DiskBudget(limits).spooled([BATCH], BATCH.schema, spill=str(spill))


def test_the_next_session_spills_into_what_is_left(tmp_path):
    disk = DiskBudget(EngineLimits(temp_limit_mb=9, temp_root=str(tmp_path)))
    assert disk.left().temp_limit_mb == 9

    disk.spooled([BATCH] * 5, BATCH.schema, spill=str(tmp_path / "none"))

    assert disk.left().temp_limit_mb == 5
    assert list(tmp_path.iterdir()) == []  # the answer has no name
