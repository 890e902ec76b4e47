"""A DuckDB connection for users' SQL and files: fresh, locked, with these files and no others.

Not for our own stored tables: ``latest`` and serving open plain connections for those.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

if TYPE_CHECKING:
    from collections.abc import Iterable

    from materialization.compute.limits import EngineLimits


def open_locked(
    files: Iterable[str], *, limits: EngineLimits, temp_directory: str
) -> duckdb.DuckDBPyConnection:
    """Return a connection that can read ``files`` and its own temp directory, and nothing else."""
    connection = duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "allow_persistent_secrets": False,
            "python_enable_replacements": False,
        },
    )
    home = str(Path(temp_directory) / "home")
    settings: dict[str, Any] = {
        # Both are set even though loading is off: INSTALL alone would still go to the network.
        "custom_extension_repository": home,
        "extension_directory": home,
        "home_directory": home,
        "secret_directory": home,
        "temp_directory": str(Path(temp_directory) / "spill"),
        "max_temp_directory_size": f"{limits.temp_limit_mb}MB",
        "memory_limit": f"{limits.memory_limit_mb}MB",
        "threads": limits.threads,
        "max_execution_time": max(1, int(limits.timeout_s * 1000)),
        "preserve_insertion_order": False,
        "TimeZone": "UTC",
        "allowed_paths": list(files),
        "enable_external_access": False,
        "lock_configuration": True,
    }
    for name, value in settings.items():
        connection.execute(f"SET {name} = ?", [value])
    return connection
