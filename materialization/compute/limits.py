"""What one piece of computing may use. [pure]

Not for reading settings: tasks and views do that and pass these in.
"""

from __future__ import annotations

import msgspec


class PythonLimits(msgspec.Struct, frozen=True):
    """What Python transforms may use: the distributions that are listed, and what holds them.

    ``folder`` is where those lie that are not installed beside the server; empty: nowhere else.
    ``demands`` are the walls without which none is run (``confined.kernel``).
    """

    distributions: tuple[str, ...] = ()
    folder: str = ""
    demands: tuple[str, ...] = ("landlock", "seccomp")
    #: Beside what an interpreter takes that does nothing.
    memory_limit_mb: int = 1024
    #: For each batch, and for importing the module.
    batch_seconds: float = 60.0
    #: What those seconds are set by.
    batch_setting: str = "PYTHON_BATCH_SECONDS"


class EngineIdentity(msgspec.Struct, frozen=True):
    """Which engine computes, in which version and within which limits: for what is kept of it."""

    name: str
    version: str
    settings: dict[str, int | float]


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
    #: Rows that are compared with what is stored together: tables of very many do not fit.
    compared_rows: int = 2_000_000
    #: Rows that the ticks of one version may be estimated to make.
    tick_rows: int = 1_000_000_000
    python: PythonLimits = PythonLimits()

    @property
    def process_limit_mb(self) -> int:
        """The memory the whole process may have, so that no function of SQL goes past the limit.

        ``memory_limit_mb`` binds what DuckDB's buffers hold, not what a function makes beside them:
        one ``repeat`` took 5 GB of 2. A process that computes nothing has 210 MB already, each
        thread a stack of 8 MB and an arena, and what buffers hold was measured as 1.1 of it.
        """
        return self.memory_limit_mb * 5 // 4 + 768 + 16 * self.threads

    @property
    def cpu_limit_s(self) -> int:
        """What ends a process that nobody watches any more; the parent's timer comes first."""
        return int(self.timeout_s * (self.threads + 1)) + 60
