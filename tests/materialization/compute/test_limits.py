"""What a child may use is a limit of the process: no function of SQL goes past it."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from materialization.compute.child import start_child
from materialization.compute.engine import ENGINES
from materialization.compute.jobs import ComputeJob, LookJob
from materialization.compute.limits import EngineLimits
from materialization.errors import EngineLimitExceeded, EngineStopped
from materialization.sources.files import resolve_source
from materialization.stores.columns import INSTANT
from registry.spec.model import FeatureSpec
from tests.materialization.aggregation_cases import HOUR, make_view
from tests.materialization.aggregation_cases import SCHEMA as AGGREGATED
from tests.materialization.engine_cases import (
    END,
    at,
    computed_rows,
    make_spec,
    slow_spec,
    write_parquet,
)
from tests.servers import ROOT

LIMITS = EngineLimits(memory_limit_mb=128, threads=2, timeout_s=120)
SCHEMA = pa.schema([("k", pa.int64()), ("event", INSTANT), ("x", pa.float64())])
#: What it takes, unless the process is limited: some gigabytes each.
GREEDY = {
    "repeat": "length(repeat('x', 1500000000 + k))",
    "repeat, by every row": "length(repeat(k::VARCHAR || 'x', 4000000))",
    "list_resize": "len(list_resize([x], 1000000 + k))",
    "nested lists": "len(list_transform(range(300000000 + k), lambda i: i))",
    "damerau_levenshtein": "damerau_levenshtein(repeat('ab', 20000 + k), repeat('ba', 20000))",
}


@pytest.fixture
def rows(tmp_path):
    event = at("2024-03-01T12:00")
    some = [{"k": n, "event": event, "x": float(n)} for n in range(2000)]
    write_parquet(tmp_path, some, SCHEMA)
    return tmp_path


def spec_of(expression: str):
    sql = f"SELECT k, event, CAST({expression} AS BIGINT) AS n FROM rows"
    return make_spec(features=[("n", "int64")], sql=sql)


def job(root, spec):
    return ComputeJob(spec, resolve_source(spec.source, root=str(root)), window_end=END)


@pytest.mark.parametrize("expression", GREEDY.values(), ids=GREEDY)
def test_a_greedy_expression_is_refused_in_words_and_takes_no_more_than_its_limit(
    rows, expression, tmp_path
):
    given = msgspec.structs.replace(
        job(rows, spec_of(expression)), staging=str(tmp_path / "staged")
    )
    (tmp_path / "staged").mkdir()
    with start_child(given, LIMITS) as child:
        with pytest.raises(EngineLimitExceeded, match="more than 128 MB of memory") as caught:
            child.report()

        assert 50 < child.peak_mb <= LIMITS.process_limit_mb + 100
    assert caught.value.data == {"limit": "memory"}


def test_a_look_is_limited_as_a_run_is(rows):
    spec = spec_of(GREEDY["repeat"])
    source = resolve_source(spec.source, root=str(rows))

    with (
        pytest.raises(EngineLimitExceeded, match="128 MB"),
        start_child(LookJob((spec,), source), LIMITS) as child,
    ):
        child.report()


def test_what_fits_is_computed(rows):
    table, _ = computed_rows(
        ENGINES["duckdb"](LIMITS), job(rows, spec_of("length(repeat('x', 1000 + k))"))
    )

    assert table.num_rows == 2000


def test_few_rows_fit_however_many_windows_a_view_has(tmp_path):
    """What a plan sets aside for each total is bounded, and allocators give back what was freed."""
    windows = {f"{hours}h": hours * HOUR for hours in range(1, 25)}
    spec, _ = make_view(columns=("x",), functions=("variance",), windows=windows)
    derived = FeatureSpec(name="d", type="float64", sql="x_variance_1h - x_variance_24h")
    view = msgspec.structs.replace(spec.view, features=(*spec.view.features, derived))
    values = {"1": (0.25, 0.1), "2": (0.5, math.inf)}
    when = END - 4 * HOUR
    rows = [{"a": "1", "b": key, "event": when, "x": x} for key in values for x in values[key]]
    write_parquet(tmp_path, rows, AGGREGATED)

    given = job(tmp_path, msgspec.structs.replace(spec, view=view))
    limits = msgspec.structs.replace(LIMITS, memory_limit_mb=512)
    found, _ = computed_rows(ENGINES["duckdb"](limits), given)

    found = found.sort_by([("b", "ascending"), ("event_timestamp", "ascending")])
    of_one, of_other = (found.filter(pc.equal(found["b"], key)) for key in values)
    assert of_one["x_variance_24h"][0].as_py() == pytest.approx(0.01125)
    assert of_one["d"][0].as_py() == 0
    assert math.isnan(of_other["x_variance_24h"][0].as_py())


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def test_a_child_is_confined_before_it_touches_anything(tmp_path):
    with start_child(job(tmp_path, slow_spec(tmp_path)), LIMITS) as child:
        ends = time.monotonic() + 30
        adjusted = Path(f"/proc/{child.pid}/oom_score_adj")
        while adjusted.read_text().strip() != "1000" and time.monotonic() < ends:
            time.sleep(0.02)
        limits = Path(f"/proc/{child.pid}/limits").read_text()
        opened = [os.readlink(fd) for fd in Path(f"/proc/{child.pid}/fd").iterdir()][:3]  # noqa: PTH115

        assert adjusted.read_text().strip() == "1000"
        assert status_of(child.pid)["NoNewPrivs"] == "1"
        found = {line[:26].strip(): line[26:].split()[:2] for line in limits.splitlines()}
        megabyte = 1 << 20
        assert found["Max data size"] == [str(LIMITS.process_limit_mb * megabyte)] * 2
        assert found["Max file size"] == [str(LIMITS.temp_limit_mb * megabyte)] * 2
        assert found["Max core file size"] == ["0", "0"]
        assert found["Max cpu time"] == [str(LIMITS.cpu_limit_s)] * 2
        assert len(opened) == 3


def test_a_limit_of_the_operators_own_that_is_lower_stays():
    code = f"""
import resource, sys
sys.path.insert(0, {str(ROOT)!r})
from materialization.compute.limits import EngineLimits
from materialization.sandbox.main import restrict
resource.setrlimit(resource.RLIMIT_DATA, (600 << 20, 600 << 20))
restrict(EngineLimits(memory_limit_mb=4096, temp_limit_mb=7))
print(*resource.getrlimit(resource.RLIMIT_DATA), *resource.getrlimit(resource.RLIMIT_FSIZE))
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)  # noqa: S603

    assert said.stdout.split() == [str(600 << 20)] * 2 + [str(7 << 20)] * 2


def test_a_child_that_the_system_kills_says_so_and_nothing_of_its_own(tmp_path):
    spec = slow_spec(tmp_path)

    with (
        pytest.raises(EngineStopped, match="killed, by the system for want of memory") as caught,
        start_child(job(tmp_path, spec), LIMITS) as child,
    ):
        os.kill(child.pid, signal.SIGKILL)
        child.report()
    assert caught.value.data == {"exit_code": -signal.SIGKILL}
