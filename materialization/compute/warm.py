"""Versions' transforms in processes that stay: rows that come one by one wait for no start.

Each process is the sandbox's, has one version, and is confined as for a run. Not for what is
computed (``sandbox.transforming``) or for which version a row is of.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pyarrow as pa

from lib.decoding import json_reader
from lib.errors import AssayError, Unavailable
from materialization.compute.asking import Asking
from materialization.compute.child import Child
from materialization.compute.jobs import Envelope, TransformJob
from materialization.confined.frames import ARROW, JSON
from materialization.errors import TEMP_PREFIX, EngineLimitExceeded, EngineStopped, from_report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from materialization.compute.limits import EngineLimits
    from registry.spec.version_spec import VersionSpec

#: Time for the process to say itself that a limit is reached, and for its start.
_GRACE_S = 5.0
#: What an answer may be: far beyond what a batch of a push gives.
_MOST_ANSWERED = 1 << 30


#: How long rows wait for those of others before them.
PATIENCE_S = 5.0


class TransformBusy(Unavailable):
    code = "transform_busy"


class RowsTakeTooLong(EngineLimitExceeded):
    """The rows of one call took more than its time, whatever came before them."""


class FailingRow(msgspec.Struct, frozen=True, array_like=True):
    """Why row ``place`` of a batch cannot be made; ``column`` as the source has it, or a key."""

    place: int
    column: str
    value: str
    message: str


class Made(NamedTuple):
    """Rows as they are stored but for the sequence, with the place of each in its batch.

    The created time is null where the source has none.
    """

    rows: pa.Table
    places: pa.Array
    failing: list[FailingRow]


class _Said(msgspec.Struct):
    failing: list[FailingRow] = []
    error: dict[str, Any] | None = None


_read_said = json_reader(_Said)


class Warm:
    """One version's process, from its start to its end."""

    def __init__(
        self, spec: VersionSpec, limits: EngineLimits, mask_keys: Mapping[str, bytes]
    ) -> None:
        self._limits, self.answered = limits, 0
        self._kept = contextlib.ExitStack()
        with contextlib.ExitStack() as kept:
            directory = kept.enter_context(
                tempfile.TemporaryDirectory(prefix=TEMP_PREFIX, dir=limits.temp_root)
            )
            report = kept.enter_context(tempfile.TemporaryFile())
            self._child = Child(limits, directory, report, timed=False)
            kept.callback(self._child.stop)
            self._asking = Asking(*self._child.pipes)
            envelope = Envelope(TransformJob(spec), limits, directory, dict(mask_keys))
            self._send(JSON, msgspec.json.encode(envelope))
            self._kept = kept.pop_all()

    @property
    def pid(self) -> int:
        return self._child.pid

    def rows(self, batch: pa.RecordBatch) -> Made:
        """:raises AssayError: no row of the batch can be made, or too many cannot.
        :raises EngineLimitExceeded, EngineStopped: and the process has ended.
        """
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        self._send(ARROW, sink.getvalue())
        (letter, answer), said = self._answer(), _Said()
        self.answered += 1
        if letter == JSON:
            said = _read_said(answer)
            if said.error is not None:
                raise from_report(said.error)
            _, answer = self._answer()
        with pa.ipc.open_stream(pa.py_buffer(answer)) as stream:
            table = stream.read_all()
        places = table.column(table.num_columns - 1).combine_chunks()
        return Made(table.remove_column(table.num_columns - 1), places, said.failing)

    def end(self) -> None:
        self._kept.close()

    def _send(self, letter: bytes, content: bytes | pa.Buffer) -> None:
        try:
            self._asking.send(letter, content, seconds=self._limits.timeout_s + _GRACE_S)
        except BrokenPipeError:
            pass  # it says why where its answer is read
        except TimeoutError as exc:
            raise self._too_long() from exc

    def _answer(self) -> tuple[bytes, bytes]:
        try:
            seconds = self._limits.timeout_s + _GRACE_S
            return self._asking.answer(seconds=seconds, most=_MOST_ANSWERED)
        except TimeoutError as exc:
            raise self._too_long() from exc
        except (EOFError, OSError) as exc:
            self._child.report()  # raises what it said at its end
            raise EngineStopped("the engine's process ended without a word; try again.") from exc

    def _too_long(self) -> EngineLimitExceeded:
        return RowsTakeTooLong(
            f"the view's transform took longer than {self._limits.timeout_s:g} s; send fewer rows"
            " at once, or raise TRANSFORM_SECONDS.",
            limit="time",
        )


class Transforms:
    """The processes of this one, by what they compute; whoever was not asked for longest ends."""

    def __init__(self, start: Callable[[VersionSpec], Warm], *, most: int) -> None:
        self._start, self._most = start, most
        self._lock = threading.Lock()
        self._held: OrderedDict[str, _Held] = OrderedDict()
        os.register_at_fork(after_in_child=self._forget)

    def rows(self, name: str, spec: VersionSpec, batch: pa.RecordBatch) -> Made:
        """Return what a version makes of rows; ``name`` stands for all that decides that.

        A process that did well before and ended is begun anew, once: it may have come to its end.
        Not for rows that took too long: they would again, and others wait.

        :raises AssayError: it makes nothing of them.
        """
        for is_last in (False, True):
            with self._holding(name) as held:
                if held.warm is None:
                    held.warm = self._start(spec)
                warm = held.warm
                try:
                    return warm.rows(batch)
                except (EngineStopped, EngineLimitExceeded) as exc:
                    held.end()
                    if is_last or not warm.answered or isinstance(exc, RowsTakeTooLong):
                        raise
                except AssayError:
                    if not warm.answered:  # it could not begin, and has ended
                        held.end()
                    raise
                except BaseException:
                    held.end()
                    raise
        raise AssertionError("the second time returns or raises")

    def end(self) -> None:
        """End all of them."""
        with self._lock:
            held, self._held = list(self._held.values()), OrderedDict()
        for each in held:
            with each.lock:
                each.end()

    @contextlib.contextmanager
    def _holding(self, name: str) -> Iterator[_Held]:
        """Give what is held under a name to one thread at a time."""
        with self._lock:
            held = self._held.setdefault(name, _Held())
            self._held.move_to_end(name)
            beyond = []
            if len(self._held) > self._most:
                beyond.append(self._held.popitem(last=False)[1])
        for each in beyond:
            if each.lock.acquire(blocking=False):  # else whoever has it ends it
                each.end()
                each.lock.release()
        if not held.lock.acquire(timeout=PATIENCE_S):
            raise TransformBusy(
                "the view's transform has rows of others to make, and more than it gets done; send"
                " them again later, in fewer calls."
            )
        try:
            yield held
        finally:
            with self._lock:
                is_kept = self._held.get(name) is held
            if not is_kept:  # let go while it was waited for
                held.end()
            held.lock.release()

    def _forget(self) -> None:
        """Begin anew in a process that was forked: these are its parent's."""
        self._lock, self._held = threading.Lock(), OrderedDict()


class _Held:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.warm: Warm | None = None

    def end(self) -> None:
        if self.warm is not None:
            self.warm.end()
            self.warm = None
