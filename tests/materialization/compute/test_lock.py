"""The locked connection on its own: what holds if a statement gets past every check before."""

from __future__ import annotations

import duckdb
import pytest

from materialization.compute.limits import EngineLimits
from materialization.compute.session import open_session

LIMITS = EngineLimits(memory_limit_mb=100, threads=1, timeout_s=1)


@pytest.fixture
def connection(tmp_path):
    (tmp_path / "own.csv").write_text("x\n1\n")
    (tmp_path / "secret.csv").write_text("x\n2\n")
    (tmp_path / "private").mkdir()
    with open_session(
        LIMITS, directory=str(tmp_path / "private"), only=[str(tmp_path / "own.csv")]
    ) as opened:
        yield opened


def test_the_source_is_read(connection, tmp_path):
    assert connection.execute(f"SELECT x FROM '{tmp_path}/own.csv'").fetchall() == [(1,)]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM glob('{root}/*')",
        "SELECT * FROM '{root}/secret.csv'",
        "SELECT * FROM read_csv('{root}/private/../secret.csv')",
        "SELECT * FROM read_csv('https://example.org/x.csv')",
        "COPY (SELECT 1) TO '{root}/new.csv'",
        "COPY (SELECT 1) TO '{root}/secret.csv' (USE_TMP_FILE FALSE)",
        "EXPORT DATABASE '{root}/dump'",
        "ATTACH '{root}/new.db' AS other",
        "LOAD httpfs",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "SET allowed_paths = ['/etc/passwd']",
        "SET memory_limit = '10GB'",
        "SET max_execution_time = 0",
        "RESET lock_configuration",
        "SET lock_configuration = false",
        "CREATE PERSISTENT SECRET s (TYPE s3)",
    ],
)
def test_nothing_else_is_read_written_loaded_or_changed(connection, tmp_path, statement):
    with pytest.raises(duckdb.Error):
        connection.execute(statement.format(root=tmp_path)).fetchall()

    assert {path.name for path in tmp_path.iterdir()} == {"own.csv", "secret.csv", "private"}
    assert (tmp_path / "secret.csv").read_text() == "x\n2\n"


def test_a_query_ends_with_its_time(connection):
    with pytest.raises(duckdb.Error, match="maximum execution time"):
        connection.execute(
            "SELECT count(*) FROM range(100000) a, range(1000000) b WHERE a.range * b.range % 7 = 3"
        ).fetchall()
