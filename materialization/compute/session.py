"""DuckDB is opened here and nowhere else: within limits, in UTC, with nothing it loads by itself.

Not for asking it: the sandbox does that for users' SQL and files, ``duckdb_engine`` for our own
stored rows. The sandbox imports this, so nothing here may lead to Django.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

if TYPE_CHECKING:
    from collections.abc import Iterable

    from materialization.compute.limits import EngineLimits

#: No extension from the network, no secret from the home directory, and no name in SQL that means
#: a Python variable.
_CONFIG: dict[str, Any] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "allow_persistent_secrets": False,
    "python_enable_replacements": False,
}


def open_session(
    limits: EngineLimits,
    *,
    directory: str,
    only: Iterable[str] | None = None,
    staging: str | None = None,
) -> duckdb.DuckDBPyConnection:
    """Return a fresh connection within ``limits`` that spills into ``directory``, a private one.

    With ``only`` it can read those files and its directory, write into ``staging``, and nothing
    else; no statement can change that. Rows come in no order but the one a query asks for.
    """
    connection = duckdb.connect(":memory:", config=_CONFIG)
    settings = _settings(limits, directory)
    if only is not None:
        settings |= _lock(only, directory, staging)
    for name, value in settings.items():
        connection.execute(f"SET {name} = ?", [value])
    return connection


def _settings(limits: EngineLimits, directory: str) -> dict[str, Any]:
    return {
        "temp_directory": str(Path(directory) / "spill"),
        "max_temp_directory_size": f"{limits.temp_limit_mb}MB",
        "memory_limit": f"{limits.memory_limit_mb}MB",
        "threads": limits.threads,
        "max_execution_time": max(1, int(limits.timeout_s * 1000)),
        "preserve_insertion_order": False,
        # Rows of a part that are held until they are written: there are several, a thread.
        "partitioned_write_flush_threshold": 20_000,
        # How far a statement is, for whoever asks; nothing is printed.
        "enable_progress_bar": True,
        "enable_progress_bar_print": False,
        "TimeZone": "UTC",
    }


def _lock(files: Iterable[str], directory: str, staging: str | None) -> dict[str, Any]:
    """Return the settings that shut a connection in, the last of which shuts the door."""
    home = str(Path(directory) / "home")
    return {
        # Both are set even though loading is off: INSTALL alone would still go to the network.
        "custom_extension_repository": home,
        "extension_directory": home,
        "home_directory": home,
        "secret_directory": home,
        "allowed_paths": list(files),
        "allowed_directories": [] if staging is None else [f"{staging}/"],
        "enable_external_access": False,
        "lock_configuration": True,
    }
