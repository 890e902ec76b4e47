"""What goes wrong with a question of our own about stored rows, as an error that says what to do.

Not for jobs of users' SQL and files: ``failures`` has those.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from lib.outages import outage
from materialization.errors import EngineLimitExceeded, without_private_paths
from materialization.stores.offline_protocol import OfflineStoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lib.errors import AssayError


@contextlib.contextmanager
def own_failures(what: str, advice: str) -> Iterator[None]:
    """Raise what went wrong with a question of our own as an error that says what to do.

    Rows that come as a stream bring DuckDB's errors as Arrow's, so the message tells them apart.
    """
    try:
        yield
    except (duckdb.Error, pa.ArrowException, OSError, MemoryError) as exc:
        if (refusal := _refusal(exc, what, advice)) is None:
            raise
        raise refusal from exc


def _refusal(error: Exception, what: str, advice: str) -> AssayError | None:
    """Return None for what is neither a limit, an outage nor a file: then the mistake is ours."""
    message = str(error)
    said = without_private_paths(message.strip().partition("\n")[0])
    limit = next((name for text, name in _LIMITS.items() if text in message), None)
    if limit is not None:
        return EngineLimitExceeded(
            f"{what} needs more memory, disk or time than one question may use; {advice}. ({said})",
            limit=limit,
        )
    if (lacking := outage(error)) is not None:
        return lacking
    if said.startswith("IO Error"):
        return OfflineStoreUnavailable(f"the stored rows cannot be read: {said}")
    return None


LESS = "ask about a shorter range or fewer instants"
MORE = "raise ENGINE_MEMORY_LIMIT_MB or ENGINE_TIME_LIMIT_SECONDS"
#: What DuckDB says when a limit is reached → which of ours it is.
_LIMITS = {
    "maximum execution time": "time",
    "Out of Memory": "memory",
    "max_temp_directory_size": "memory",
}
