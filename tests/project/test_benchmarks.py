"""The benchmarks still run: at a tiny size, without a word about how fast."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests import servers
from tests.environment import without_ours

pytestmark = pytest.mark.journey


@pytest.mark.parametrize(
    ("script", "options", "says"),
    [
        ("materialization", "--rows 2000", "assay, whole run"),
        ("rebuild_online", "--rows 2000", "4,000 entities x 10 features back"),
        ("point_in_time", "--rows 20000 --entities 1000 --repeat 1", "known"),
        ("aggregation", "--events 5000 --entities 50 --repeat 1", "extremes"),
        ("online", "--seconds 0.2 --rounds 1 --rows 2000", "beside a backfill"),
    ],
)
def test_a_benchmark_runs_to_its_end(script, options, says):
    env = {name: value for name, value in without_ours().items() if name != "FEAST_PYTHON"}
    command = [sys.executable, "-m", f"benchmarks.{script}", *options.split()]
    done = subprocess.run(
        command, cwd=servers.ROOT, env=env, capture_output=True, text=True, timeout=300
    )

    assert done.returncode == 0, done.stderr
    assert says in done.stdout
