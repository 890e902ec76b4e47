"""Start the sandbox for a job and wait for what it makes; the only way users' files are read.

Not for what is computed (``transforms``) nor for storing it (``stores``).
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import select
import signal
import tempfile
import threading
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, TypeAlias, TypeVar

import msgspec

from lib.decoding import json_reader
from materialization.compute import forks
from materialization.compute.jobs import (
    ComputeJob,
    Envelope,
    FitJob,
    Job,
    QueryJob,
    SplitJob,
    SurveyJob,
)
from materialization.compute.reports import Computed, Fit, Report, Split, Survey
from materialization.confined.frames import JSON, send
from materialization.errors import TEMP_PREFIX, EngineLimitExceeded, EngineStopped, from_report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lib.errors import AssayError
    from materialization.compute.limits import EngineLimits

log = logging.getLogger(__name__)
#: Time for the child to say itself that its limit is reached, before it is killed.
_GRACE_S = 5.0
_LOOKED_AT_EVERY_S = 0.5
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
_Found = TypeVar("_Found")


#: The share of the job that is done; asked about twice a second.
Watch: TypeAlias = "Callable[[float], None]"
#: What features are hashed with, by their names.
Keys: TypeAlias = "Mapping[str, bytes]"


def compute(
    job: ComputeJob, limits: EngineLimits, *, watch: Watch, mask_keys: Keys = MappingProxyType({})
) -> Computed:
    """Run ``job`` in a child process; return what it left in its staging folder.

    The child spills to a private directory. What ``watch`` raises ends it.

    :raises UnknownColumn, SourceValueInvalid, SourceUnreadable, RowSqlRefused: source or SQL.
    :raises EngineLimitExceeded: time, memory or disk.
    :raises EngineStopped: the child died without a word.
    """
    with start_child(job, limits, mask_keys) as child:
        for share in child.shares():
            watch(share)
        computed = _told(child.report().computed, "its rows")
        words = "%d rows staged in %.1f s, profiled in %.1f s, with %d MB at most"
        seconds = computed.seconds
        log.info(words, computed.counters.rows, *seconds.values(), child.peak_mb)
        return computed


def survey(job: SurveyJob, limits: EngineLimits, *, watch: Watch) -> Survey:
    """Have ``job``'s rows counted in a child process; what ``watch`` raises ends it.

    :raises EngineStopped: the child died without a word; else as ``compute``.
    """
    with start_child(job, limits) as child:
        for _ in child.shares():
            watch(0.0)
        return _told(child.report().survey, "the source")


def split(
    job: SplitJob, limits: EngineLimits, *, watch: Watch, mask_keys: Keys = MappingProxyType({})
) -> Split:
    """Have a source's rows written apart by windows in a child process; ends as ``compute`` does.

    :raises EngineStopped: the child died without a word; else as ``compute``.
    """
    with start_child(job, limits, mask_keys) as child:
        for share in child.shares():
            watch(share)
        found = _told(child.report().split, "the source")
        log.info(
            "rows of %d windows staged, with %d MB at most", len(found.parts or ()), child.peak_mb
        )
        return found


def fit(job: FitJob, limits: EngineLimits, *, watch: Watch) -> Fit:
    """Have encodings fitted in a child process; what ``watch`` raises ends it.

    :raises EngineStopped: the child died without a word; else as ``compute``.
    """
    with start_child(job, limits) as child:
        for _ in child.shares():
            watch(0.0)
        return _told(child.report().fit, "the encodings")


def query(job: QueryJob, limits: EngineLimits) -> str:
    """Have a query's rows written in a child process; return the file.

    :raises EngineStopped: the child died without a word; else as ``compute``.
    """
    with start_child(job, limits) as child:
        for _ in child.shares():
            pass
        return _told(child.report().queried, "the query")


def _told(found: _Found | None, of_what: str) -> _Found:
    """:raises EngineStopped: the report has nothing of what was asked for."""
    if found is None:
        raise EngineStopped(f"the engine's process said nothing of {of_what}; try again.")
    return found


@contextlib.contextmanager
def start_child(
    job: Job, limits: EngineLimits, mask_keys: Keys = MappingProxyType({})
) -> Iterator[Child]:
    """Start the sandbox in a private directory; end it and remove the directory afterwards.

    The keys go through its pipe, where no argument, environment or file shows them.
    """
    with (
        tempfile.TemporaryDirectory(prefix=TEMP_PREFIX, dir=limits.temp_root) as directory,
        tempfile.TemporaryFile() as report,
    ):
        envelope = Envelope(job, limits, directory, dict(mask_keys))
        child = Child(limits, directory, report)
        try:
            child.send(msgspec.json.encode(envelope))
            yield child
        finally:
            child.stop()


class Child:
    """One sandbox process: how far it is on stdout, the report in a file, killed after its time."""

    def __init__(
        self, limits: EngineLimits, directory: str, report: IO[bytes], *, timed: bool = True
    ) -> None:
        self._limits = limits
        self._report_file = report
        self._timed_out = False
        (theirs_in, ours_in), (ours_out, theirs_out) = os.pipe(), os.pipe()
        self._stdin, self._stdout = open(ours_in, "wb"), open(ours_out, "rb")  # noqa: PTH123, SIM115
        try:
            self._process = forks.start(
                stdin=theirs_in, stdout=theirs_out, stderr=report.fileno(), directory=directory
            )
        except EngineStopped:
            self._close()
            raise
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        self._timer = threading.Timer(limits.timeout_s + _GRACE_S, self._time_out)
        self._timer.daemon = True
        if timed:
            self._timer.start()
        self.pipes = (ours_in, ours_out)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def peak_mb(self) -> int:
        """The most memory it had, once it has ended."""
        return self._process.peak_kb >> 10

    def send(self, envelope: bytes) -> None:
        with contextlib.suppress(BrokenPipeError), self._stdin:
            send(self._stdin, JSON, envelope)

    def shares(self) -> Iterator[float]:
        """Yield how much is done, at least every half second, until the child has ended."""
        share, told = 0.0, self._stdout.fileno()
        while True:
            if select.select([told], [], [], _LOOKED_AT_EVERY_S)[0]:
                if not (said := os.read(told, 4096)):
                    return
                share = _last_share(said, share)
            yield share

    def report(self) -> Report:
        """Wait for the child's end and return its report; raise the error in it."""
        self._stdout.close()
        self._process.wait()
        if self._timed_out:
            raise _took_too_long(self._limits)
        report = self._last_line()
        if report.error is not None:
            raise self._said(from_report(report.error))
        return report

    def stop(self) -> None:
        self._timer.cancel()
        self._process.kill()
        self._process.wait()
        self._close()

    def _close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()
        self._stdout.close()

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
        # Not splitlines: that also cuts where a text within JSON may (U+2028).
        said = self._report_end().decode(errors="replace").strip().split("\n")
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


def _last_share(said: bytes, before: float) -> float:
    """Return the last number said; a line that was cut short counts for nothing."""
    lines = said.split(b"\n")[:-1]
    try:
        return float(lines[-1])
    except (IndexError, ValueError):
        return before


def _place(said: str) -> list[str]:
    """Return of a process's last words where it was and what kind of error: no words of values."""
    return _PLACE.findall(said)[-20:]


def _took_too_long(limits: EngineLimits) -> EngineLimitExceeded:
    return EngineLimitExceeded(
        f"the computation took longer than {limits.timeout_s:g} s; materialize a "
        "shorter window, or raise the limit.",
        limit="time",
    )
