"""A confined process as a job has it: started with an order, asked batch by batch, ended.

Not for what happens inside (``materialization.confined``). It begins as a new interpreter, so that
no memory, descriptor or variable of the job comes to it.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from lib.decoding import converter
from materialization.compute.asking import Asking
from materialization.confined.faults import Fault
from materialization.confined.frames import ARROW, JSON
from materialization.confined.packages import Code, installed_with, require_same
from materialization.errors import PythonChanged, PythonFailed, PythonRefused
from registry.spec.python_code import PythonCode

if TYPE_CHECKING:
    from lib.errors import AssayError
    from materialization.compute.limits import EngineLimits
    from registry.spec.python_code import PythonCall

_MAIN = Path(__file__).parents[2] / "confined" / "main.py"
#: Nothing of ours, and what makes results the same each time.
_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "PYTHONUTF8": "1",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}
#: Beside the limit: what an interpreter with pyarrow has before it computes anything.
_OWN_MB = 192
#: Letters of what a process says went wrong.
_MOST_SAID = 1000
_ERRORS = {"refused": PythonRefused, "changed": PythonChanged}


class _Said(msgspec.Struct):
    code: PythonCode | None = None
    held: list[str] = []
    fault: dict[str, str] | None = None


_read_said = converter(_Said)


def order_of(
    call: PythonCall, code: PythonCode | None, gives: pa.Schema, limits: EngineLimits
) -> dict[str, Any]:
    """Return what a process is told to do, as JSON has it."""
    own = limits.python
    return {
        "module": call.module,
        "function": call.name,
        "code": None if code is None else msgspec.to_builtins(code),
        "gives": base64.b64encode(gives.serialize().to_pybytes()).decode(),
        "listed": list(own.distributions),
        "folder": own.folder,
        "demands": list(own.demands),
        "memory_mb": own.memory_limit_mb + _OWN_MB,
        "cpu_s": limits.cpu_limit_s,
    }


def walls_held(limits: EngineLimits) -> frozenset[str]:
    """Return what the kernel of this machine holds such a process with."""
    own = limits.python
    order = {
        "only_says_walls": True,
        "folder": own.folder,
        "memory_mb": own.memory_limit_mb + _OWN_MB,
        "cpu_s": limits.cpu_limit_s,
    }
    process = Confined("nothing", order, limits)
    try:
        return frozenset(process.held)
    finally:
        process.end()


def not_as_submitted(call: PythonCall, code: PythonCode, limits: EngineLimits) -> str:
    """Say why what is installed is not what a version was submitted with; empty: it is."""
    own = limits.python
    try:
        found = installed_with(call.module, own.distributions, folder=own.folder)
        require_same(found.code, Code(code.distribution, code.version, code.sha256))
    except Fault as fault:
        return fault.message
    return ""


class Confined:
    """One process, from its order to its end; whatever it fails at ends it."""

    def __init__(self, name: str, order: dict[str, Any], limits: EngineLimits) -> None:
        """:raises PythonRefused, PythonChanged: the function is not to be had."""
        self._name, self._limits = name, limits.python
        self._process = subprocess.Popen(  # noqa: S603 - our interpreter, our file
            [sys.executable, "-s", "-P", "-B", str(_MAIN), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=_ENVIRONMENT,
            process_group=0,
        )
        stdin, stdout = self._process.stdin, self._process.stdout
        self._asking = Asking(stdin.fileno(), stdout.fileno())  # type: ignore[union-attr]
        said = self._ask(JSON, json.dumps(order).encode(), "its import")
        self.held: list[str] = said.held if isinstance(said, _Said) else []
        self.code: PythonCode | None = said.code if isinstance(said, _Said) else None

    def rows(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return what the function makes of a batch; it has as many rows.

        :raises PythonFailed: the function does, or is stopped.
        """
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        made = self._ask(ARROW, sink.getvalue(), f"a batch of {batch.num_rows:,} rows")
        try:
            with pa.ipc.open_stream(pa.py_buffer(made)) as stream:
                rows = stream.read_next_batch()
            rows.validate(full=True)
        except (pa.ArrowException, StopIteration, TypeError, ValueError, KeyError) as exc:
            raise self._failed("its process gave what is no batch") from exc
        if rows.num_rows != batch.num_rows:
            raise self._failed("its process gave another number of rows")
        return rows

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            pipe.close()  # type: ignore[union-attr]

    def _ask(self, letter: bytes, content: bytes | pa.Buffer, for_what: str) -> _Said | bytes:
        """Send a frame and return the answer to it; of JSON what it says.

        :raises AssayError: what the process says went wrong, or that it ended, or took too long.
        """
        seconds, most = self._limits.batch_seconds, self._limits.memory_limit_mb << 20
        try:
            self._asking.send(letter, bytes(content), seconds=seconds)
            kind, answer = self._asking.answer(seconds=seconds, most=most)
        except (BrokenPipeError, EOFError) as exc:
            raise self._death(for_what) from exc
        except OverflowError as exc:
            raise self._failed(f"it gave {int(exc.args[0]) >> 20:,} MB for {for_what}") from exc
        except TimeoutError as exc:
            self._process.kill()
            raise self._failed(
                f"it took longer than {seconds:g} s for {for_what}, and was stopped"
                f" ({self._limits.batch_setting})",
                limit="time",
            ) from exc
        if kind == ARROW:
            return answer
        try:
            said = _read_said(msgspec.json.decode(answer))
        except msgspec.MsgspecError as exc:
            raise self._failed("its process said what nobody understands") from exc
        if said.fault is not None:
            raise self._told(said.fault, for_what)
        return said

    def _told(self, fault: dict[str, str], for_what: str) -> AssayError:
        code = fault.get("code", "")
        if code == "memory":
            return self._memory(for_what)
        kind = _ERRORS.get(code, PythonFailed)
        message = f"python {self._name}: {fault.get('message', '')[:_MOST_SAID]}"
        return kind(message, example=fault.get("example", "")[:_MOST_SAID])

    def _memory(self, for_what: str) -> PythonFailed:
        most = self._limits.memory_limit_mb
        return self._failed(
            f"it needed more than {most:,} MB of memory for {for_what}, and was stopped"
            " (PYTHON_MEMORY_LIMIT_MB)",
            limit="memory",
        )

    def _death(self, for_what: str) -> PythonFailed:
        """Say how the process ended that said nothing."""
        code = self._process.wait()
        if code == -signal.SIGXCPU:
            why = f"it took too much of the processor's time for {for_what}"
            return self._failed(why, limit="processor")
        if code < 0:
            why = f"its process ended by signal {-code} at {for_what}"
        else:
            why = f"its process ended with {code} at {for_what}"
        return self._failed(why)

    def _failed(self, why: str, **data: Any) -> PythonFailed:
        return PythonFailed(f"python {self._name}: {why}.", **data)
