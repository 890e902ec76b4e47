"""What runs over a table of PostgreSQL begin with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.materialization.run_world import ROWS
from tests.materialization.table_world import COLUMNS, insert

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def connections(settings, tmp_path: Path, warehouse) -> Path:
    """The file in which the connection of the test's database stands."""
    path = tmp_path / "connections.toml"
    path.write_text(warehouse.toml)
    path.chmod(0o600)
    settings.CONNECTIONS_FILE = str(path)
    return path


@pytest.fixture
def table(warehouse, connections):
    warehouse.run(f"CREATE TABLE driver_stats ({COLUMNS})")
    insert(warehouse, ROWS)
    return warehouse
