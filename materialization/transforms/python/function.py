"""A view's function as DuckDB calls it: a struct of the source's columns in, of the features out.

Not for the process behind it (``process``). It is started when it is first needed: a look at the
columns alone, or a count of rows, starts none.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa

from lib.errors import AssayError
from materialization.sources.json_rows import ROW
from materialization.transforms.python.carrying import carried
from materialization.transforms.python.process import Confined, order_of
from registry.spec.fingerprints import fingerprint
from registry.spec.python_code import given_type
from registry.spec.value_types import ValueType, parse_type

if TYPE_CHECKING:
    import duckdb

    from materialization.compute.limits import EngineLimits
    from registry.spec.python_code import PythonCall
    from registry.spec.version_spec import VersionSpec

#: Bounds of a process, and not of its last rows alone.
_OF_ALL_ROWS = {"processor", "memory"}


def call_of(spec: VersionSpec) -> PythonCall:
    """:raises LookupError: the view has no function."""
    if spec.view.python is None:
        raise LookupError(f"{spec.view.name} has no Python function")
    return spec.view.python


def name_of(spec: VersionSpec) -> str:
    """Return what the function is called in SQL; views of one session may have the same one."""
    told = (spec.view.python, spec.code, [(n, str(t)) for n, t in outputs_of(spec).items()])
    return f"assay_python_{fingerprint(msgspec.to_builtins(told))[:24]}"


def outputs_of(spec: VersionSpec) -> dict[str, ValueType]:
    """Return the columns that the function has to give, and what each is."""
    labels = [each.encode.label for each in spec.features if each.encode is not None]
    given = {label: parse_type("float64") for label in labels if label is not None}
    return given | {each.source_column: given_type(each) for each in spec.features}


class Function:
    """The function of one version, on one connection, as long as a job lasts.

    A process that fails has ended. Where one thread asks, the next rows have another, and so have
    those at which it met a bound that all rows before them had their part in.
    """

    def __init__(self, spec: VersionSpec, limits: EngineLimits) -> None:
        self._spec, self._limits, self._call = spec, limits, call_of(spec)
        self._outputs = outputs_of(spec)
        self._gives = pa.schema([pa.field(n, t.arrow) for n, t in self._outputs.items()])
        self._process: Confined | None = None
        # The engine has several threads, and a process answers one at a time.
        self._lock = threading.Lock()
        self._answered = 0
        #: What ended it: other threads are told the same, and not that their process is gone.
        self._ended_by: AssayError | None = None
        #: The first rows it was asked about, for whoever tries it on others.
        self.first: pa.RecordBatch | None = None

    def define(self, connection: duckdb.DuckDBPyConnection) -> None:
        fields = ", ".join(
            f'"{name.replace(chr(34), chr(34) * 2)}" {kind.duckdb}'
            for name, kind in self._outputs.items()
        )
        connection.create_function(
            name_of(self._spec), self._called, None, f"STRUCT({fields})",
            type="arrow", null_handling="special",
        )  # type: ignore[call-overload]  # fmt: skip

    def process(self) -> Confined:
        """:raises PythonRefused, PythonChanged: the function is not to be had."""
        if self._process is None:
            order = order_of(self._call, self._spec.code, self._gives, self._limits)
            self._process = Confined(self._call.function, order, self._limits)
        return self._process

    def rows(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """:raises PythonRefused, PythonChanged, PythonFailed: it gives none."""
        with self._lock:
            if self._ended_by is not None:
                raise self._ended_by
            did_well = self._answered > 0
            try:
                return self._made(batch)
            except AssayError as exc:
                if self._limits.threads > 1:
                    self._ended_by = exc
                    raise
                self.end()
                if not did_well or exc.data.get("limit") not in _OF_ALL_ROWS:
                    raise
            try:
                return self._made(batch)
            except AssayError:
                self.end()
                raise

    def end(self) -> None:
        if self._process is not None:
            self._process.end()
        self._process, self._answered = None, 0

    def _made(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        made = self.process().rows(batch)
        self._answered += 1
        return made

    def _called(self, *given: pa.ChunkedArray) -> pa.StructArray:
        (structs,) = given
        whole = structs.combine_chunks() if isinstance(structs, pa.ChunkedArray) else structs
        names = [field.name for field in whole.type if field.name != ROW]
        batch = pa.RecordBatch.from_arrays([whole.field(name) for name in names], names=names)
        if self.first is None:
            self.first = batch
        try:
            made = self.rows(batch)
        except AssayError as exc:
            raise carried(exc) from exc
        return pa.StructArray.from_arrays(made.columns, fields=list(made.schema))
