"""DuckDB is opened in one place, which the sandbox can reach without Django."""

from __future__ import annotations

import subprocess
import sys

import pytest

from materialization.compute.limits import EngineLimits
from materialization.compute.session import open_session
from tests.servers import ROOT

LIMITS = EngineLimits(memory_limit_mb=100, threads=1, timeout_s=7, temp_limit_mb=50)


def test_duckdb_is_opened_in_one_place():
    files = [file for app in ("materialization", "serving") for file in (ROOT / app).rglob("*.py")]
    opening = {
        str(file.relative_to(ROOT)): file.read_text().count("duckdb.connect(") for file in files
    }

    assert {file: times for file, times in opening.items() if times} == {
        "materialization/compute/session.py": 1
    }


def test_the_sandbox_reaches_it_without_django():
    script = (
        "import sys, materialization.sandbox.compute, materialization.compute.session;"
        " sys.exit('django' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


def test_hidden_pandas_is_not_found_and_nothing_else_is_missed():
    """It is installed here, and Arrow takes it where it can; DuckDB asks for it too."""
    script = """if True:
        import sys
        from lib.without_pandas import hide_pandas
        hide_pandas()
        import duckdb
        from materialization.transforms.alike import alike
        session = duckdb.connect()
        found = alike(session, "SELECT (range // 2)::UBIGINT AS h FROM range(5)", 5)
        session.register("suspected", found)
        assert session.sql("SELECT h FROM suspected").fetchall() == [(0,), (1,)]
        sys.exit("pandas" in sys.modules)
    """

    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("only", [None, ()], ids=["our own files", "users' files"])
def test_every_session_has_its_limits_a_place_to_spill_and_utc(tmp_path, only):
    names = ("memory_limit", "threads", "max_execution_time", "temp_directory", "TimeZone",
             "max_temp_directory_size", "python_enable_replacements",
             "autoload_known_extensions")  # fmt: skip
    wanted = ", ".join(f"current_setting('{name}')::VARCHAR" for name in names)

    with open_session(LIMITS, directory=str(tmp_path), only=only) as session:
        [found] = session.execute(f"SELECT {wanted}").fetchall()

    assert found == (
        "95.3 MiB", "1", "7000", str(tmp_path / "spill"), "UTC", "47.6 MiB", "false", "false"
    )  # fmt: skip


def test_a_session_for_our_own_files_reads_them(tmp_path):
    (tmp_path / "own.csv").write_text("x\n1\n")

    with open_session(LIMITS, directory=str(tmp_path)) as session:
        assert session.execute(f"SELECT x FROM '{tmp_path}/own.csv'").fetchall() == [(1,)]
