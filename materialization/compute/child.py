"""Start the sandbox for a job and stream what it computes; the only way users' files are read.

Not for what is computed (``transforms``) nor for storing it (``stores``).
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING

import msgspec
import pyarrow as pa

from lib.decoding import json_reader
from materialization.compute.jobs import ComputeJob, Counters, Envelope, LookJob, Report
from materialization.errors import TEMP_PREFIX, EngineLimitExceeded, EngineStopped, from_report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lib.errors import AssayError
    from materialization.compute.limits import EngineLimits

log = logging.getLogger(__name__)
SANDBOX = Path(__file__).parents[1] / "sandbox" / "main.py"
#: Time for the child to say itself that its limit is reached, before it is killed.
_GRACE_S = 5.0
#: Bytes of the report that are read; the longest lists a few thousand columns.
_MAX_REPORT = 16 << 20
#: What libraries say that die when an allocation fails.
_NO_MEMORY = ("std::bad_alloc", "MemoryError", "Cannot allocate memory", "Out of Memory")
#: A line of a traceback, the kind of an error, or what the C++ library says at its end.
_PLACE = re.compile(
    r"^ +File \"[^\"\n]+\", line [0-9]+|^[A-Za-z_.]+(?:Error|Exception)\b|std::\w+",
    re.MULTILINE,
)
_read_report = json_reader(Report)


class Computation:
    """One job's rows, in batches of ``columns.computed_schema``; ``counters`` once all are read."""

    def __init__(self, child: Child) -> None:
        self._child = child
        stream = child.open_stream()
        self.counters: Counters | None = None
        self.reader = pa.RecordBatchReader.from_batches(stream.schema, self._batches(stream))

    def _batches(self, stream: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        # A stream cut short looks like one that ended: only the report tells them apart.
        with contextlib.suppress(pa.ArrowInvalid, OSError):
            yield from stream
        self.counters = self._child.report().counters


@contextlib.contextmanager
def compute(job: ComputeJob, limits: EngineLimits) -> Iterator[Computation]:
    """Run ``job`` in a child process and give its rows while they are computed.

    Memory is bounded on both sides: the child spills to a private directory and waits for the
    reader. Leaving the block ends the child, finished or not. Errors come when the block is entered
    or while ``reader`` is read; a reader that ended without one gave every row.

    :raises UnknownColumn, SourceValueInvalid, SourceUnreadable, RowSqlRefused: source or SQL.
    :raises EngineLimitExceeded: time, memory or disk.
    :raises EngineStopped: the child died without a word.
    """
    with start_child(job, limits) as child:
        yield Computation(child)


@contextlib.contextmanager
def start_child(job: ComputeJob | LookJob, limits: EngineLimits) -> Iterator[Child]:
    """Start the sandbox in a private directory; end it and remove the directory afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix=TEMP_PREFIX, dir=limits.temp_root) as directory,
        tempfile.TemporaryFile() as report,
    ):
        envelope = Envelope(job, limits, directory, os.getpid())
        child = Child(limits, directory, report)
        try:
            child.send(msgspec.json.encode(envelope))
            yield child
        finally:
            child.stop()


class Child:
    """One sandbox process: rows on stdout, the report in a file, killed after its time."""

    def __init__(self, limits: EngineLimits, directory: str, report: IO[bytes]) -> None:
        self._limits = limits
        self._report_file = report
        self._timed_out = False
        # No variable of ours reaches it: settings, tokens and passwords live in the environment.
        self._process = subprocess.Popen(  # noqa: S603 - our interpreter, our file
            [sys.executable, "-I", str(SANDBOX)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=report,
            cwd=directory,
            env={},
            close_fds=True,
            start_new_session=True,
        )
        self._timer = threading.Timer(limits.timeout_s + _GRACE_S, self._time_out)
        self._timer.daemon = True
        self._timer.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, envelope: bytes) -> None:
        with contextlib.suppress(BrokenPipeError), self._stdin() as stdin:
            stdin.write(envelope)

    def open_stream(self) -> pa.RecordBatchReader:
        """Return the stream of rows, or raise what the child reported instead of one."""
        try:
            return pa.ipc.open_stream(self._process.stdout)
        except (pa.ArrowInvalid, OSError):
            self.report()
            raise

    def report(self) -> Report:
        """Wait for the child's end and return its report; raise the error in it."""
        self._close_stdout()
        self._process.wait()
        if self._timed_out:
            raise _took_too_long(self._limits)
        report = self._last_line()
        if report.error is not None:
            raise self._said(from_report(report.error))
        return report

    def stop(self) -> None:
        self._timer.cancel()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._close_stdout()

    def _close_stdout(self) -> None:
        if self._process.stdout:
            self._process.stdout.close()

    def _stdin(self) -> IO[bytes]:
        if self._process.stdin is None:  # cannot be: it was asked for
            raise EngineStopped("the engine's process has no input.")
        return self._process.stdin

    def _time_out(self) -> None:
        self._timed_out = True
        self._process.kill()

    def _said(self, error: AssayError) -> AssayError:
        """Return the error a child reported; of memory with the limits, which only we know."""
        return self._out_of_memory() if error.data.get("limit") == "memory" else error

    def _out_of_memory(self) -> EngineLimitExceeded:
        return EngineLimitExceeded(
            f"the computation needed more than {self._limits.memory_limit_mb} MB of memory, or"
            f" {self._limits.temp_limit_mb} MB of disk beside it; make its values smaller,"
            " materialize a shorter window, or raise ENGINE_MEMORY_LIMIT_MB.",
            limit="memory",
        )

    def _last_line(self) -> Report:
        said = self._report_end().decode(errors="replace").strip().splitlines()
        try:
            return _read_report(said[-1])
        except (IndexError, msgspec.DecodeError) as exc:
            raise self._death("\n".join(said[-20:])) from exc

    def _report_end(self) -> bytes:
        """Return the end of what the child wrote: whatever it says, it is not read without end."""
        size = self._report_file.seek(0, os.SEEK_END)
        self._report_file.seek(max(size - _MAX_REPORT, 0))
        return self._report_file.read()

    def _death(self, said: str) -> AssayError:
        """Say how a child ended that reported nothing; where it did is for our log only."""
        code = self._process.returncode
        log.warning("the engine's process ended with %s: %s", code, "; ".join(_place(said)))
        if any(sign in said for sign in _NO_MEMORY):
            return self._out_of_memory()
        if code == -signal.SIGXCPU:
            return _took_too_long(self._limits)
        if code == -signal.SIGKILL:
            why = "was killed, by the system for want of memory or by hand"
        else:
            why = f"ended with {code} and no report"
        return EngineStopped(f"the engine's process {why}; try again.", exit_code=code)


def _place(said: str) -> list[str]:
    """Return of a process's last words where it was and what kind of error: no words of values."""
    return _PLACE.findall(said)[-20:]


def _took_too_long(limits: EngineLimits) -> EngineLimitExceeded:
    return EngineLimitExceeded(
        f"the computation took longer than {limits.timeout_s:g} s; materialize a "
        "shorter window, or raise the limit.",
        limit="time",
    )
