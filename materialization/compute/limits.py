"""What one piece of computing may use. [pure]

Not for reading settings: tasks and views do that and pass these in.
"""

from __future__ import annotations

import msgspec


class EngineLimits(msgspec.Struct, frozen=True):
    """Limits of one child process; ``timeout_s`` includes the time its reader takes."""

    memory_limit_mb: int = 1024
    threads: int = 2
    timeout_s: float = 3600.0
    #: How much may be spilled to disk.
    temp_limit_mb: int = 20_000
    #: Where private temp directories are made; None: the system's.
    temp_root: str | None = None
    #: Rows of one Arrow batch.
    batch_rows: int = 65_536
    #: Rows × windows that an aggregation works on at a time, a slice of the keys.
    slice_rows: int = 400_000
