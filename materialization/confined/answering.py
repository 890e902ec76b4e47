"""Do what a confined process was ordered to: find the function, then answer batch after batch.

Not for shutting the process in, which is done by then (``kernel``). Whatever goes wrong is said as
a ``Fault``, and is the last that is said.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa

from materialization.confined.calling import Function
from materialization.confined.faults import Fault
from materialization.confined.frames import ARROW, JSON, receive, send
from materialization.confined.packages import Code, installed_with, load, require_same
from materialization.confined.watching import watch

if TYPE_CHECKING:
    from collections.abc import Iterable


def answer(
    order: dict[str, Any], held: Iterable[str], incoming: BinaryIO, outgoing: BinaryIO
) -> None:
    """Do what ``order`` says, then answer each batch until there are no more."""
    try:
        if order.get("only_says_walls"):
            send(outgoing, JSON, json.dumps({"held": sorted(held)}).encode())
            return
        _require_walls(order["demands"], held)
        function, code = _prepared(order)
        send(outgoing, JSON, json.dumps({"code": code._asdict(), "held": sorted(held)}).encode())
        want = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(order["gives"])))
        while (frame := receive(incoming)) is not None:
            send(outgoing, ARROW, _made(function, frame, want))
    except Fault as fault:
        said = {"code": fault.code, "message": fault.message, "example": fault.example}
        send(outgoing, JSON, json.dumps({"fault": said}).encode())
    except MemoryError:
        send(outgoing, JSON, b'{"fault": {"code": "memory", "message": "", "example": ""}}')


def _require_walls(demands: Iterable[str], held: Iterable[str]) -> None:
    """:raises Fault: the operator wants a wall that this machine's kernel does not have."""
    if lacking := sorted(set(demands) - set(held)):
        raise Fault(
            "refused",
            f"Python transforms are not run on this machine: its kernel lacks {', '.join(lacking)},"
            f" which PYTHON_CONFINEMENT demands; it has {', '.join(sorted(held)) or 'none'}.",
        )


def _prepared(order: dict[str, Any]) -> tuple[Function, Code]:
    """Return the function that was ordered, from the distribution as it is installed now.

    :raises Fault: it is not to be had, or not as the version was submitted with.
    """
    module, function = order["module"], order["function"]
    installed = installed_with(module, order["listed"], folder=order["folder"])
    if order["code"] is not None:
        require_same(installed.code, Code(**order["code"]))
    own = {place for place, _ in installed.files.values()}
    watch(own)
    found = load(module, function, installed)
    return Function(found, own), installed.code


def _made(function: Function, frame: bytes, want: pa.Schema) -> bytes:
    with pa.ipc.open_stream(pa.py_buffer(frame)) as stream:
        batch = stream.read_next_batch()
    sink = pa.BufferOutputStream()
    rows = function.rows(batch, want)
    with pa.ipc.new_stream(sink, want) as writer:
        writer.write_batch(rows)
    found: bytes = sink.getvalue().to_pybytes()
    return found
