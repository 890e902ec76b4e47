"""One version of a dataset, as a program has it: its rows, its manifest, and the proof of both.
Not for asking for one; see ``datasets``.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from assay.errors import Conflict, DatasetDiffers, Invalid, ServerError
from assay.extras import require
from assay.shapes import JSON, ArrowTable, DataFrame
from assay.tables import to_pandas, with_one_json_text

Download = Callable[[], AbstractContextManager[Iterator[bytes]]]
Check = Callable[[], JSON]


class Dataset:
    """Immutable: what it gives today it gives next year. ``manifest_hash`` is its name in a model.

    The rows are fetched when they are first asked for.
    """

    def __init__(self, found: JSON, manifest: JSON, *, download: Download, check: Check) -> None:
        self._found, self._manifest = found, manifest
        self._download, self._check = download, check
        self._table: Any = None

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, version={self.version}, rows={len(self)})"

    def __len__(self) -> int:
        return int(self._found["rows"])

    @property
    def name(self) -> str:
        return str(self._found["name"])

    @property
    def version(self) -> int:
        return int(self._found["version"])

    @property
    def manifest(self) -> JSON:
        """All it was made of: request, frame, versions, files, engine, hashes; no values.

        Hashes are None for those who may not read the rows.
        """
        found: JSON = self._manifest["manifest"]
        return found

    @property
    def manifest_hash(self) -> str:
        """The SHA-256 of the manifest: log it with a model that was trained on the rows."""
        return str(self._manifest["manifest_hash"])

    @property
    def content_hash(self) -> str | None:
        """The hash of the rows, whatever their order; None for those who may not read them."""
        found: str | None = self.manifest["rows"]["content_hash"]
        return found

    @property
    def warnings(self) -> list[str]:
        return list(self.manifest["warnings"])

    def to_arrow(self) -> ArrowTable:
        """Give the rows as a ``pyarrow.Table``. Needs the extra ``assay[pandas]``.

        :raises ServerError: what arrived is not the file that the manifest names.
        """
        if self._table is None:
            parquet = require("pyarrow.parquet", "Dataset.to_arrow")
            sink = io.BytesIO()
            for chunk in self.chunks():
                sink.write(chunk)
            self._table = with_one_json_text(parquet.read_table(sink))
        return self._table

    def to_df(self, split: str | None = None) -> DataFrame:
        """Give the rows as a pandas frame: the entity frame's columns, then the features.

        With ``split`` only those of that part, without the column that says so.

        :raises Invalid: the dataset has no such part.
        """
        require("pandas", "Dataset.to_df")
        return to_pandas(self.to_arrow() if split is None else self._part(split))

    def _part(self, name: str) -> ArrowTable:
        compute = require("pyarrow.compute", "Dataset.to_df")
        said = self.manifest["split"] or {"parts": []}
        parts = [part["name"] for part in said["parts"]]
        if name not in parts:
            known = f"its parts are {', '.join(parts)}" if parts else "it was not split"
            raise Invalid(f"{self.name}@{self.version} has no part {name!r}; {known}", name=name)
        table = self.to_arrow()
        chosen = table.filter(compute.equal(table[said["column"]], name))
        return chosen.drop_columns([said["column"]])

    def chunks(self) -> Iterator[bytes]:
        """Give the rows' Parquet file piece by piece; the last one comes once all are right.

        :raises ServerError: what arrived is not the file that the manifest names.
        :raises Conflict: its hash was withheld when the manifest was read.
        """
        expected = self.manifest["rows"]["sha256"]
        mark, last = hashlib.sha256(), b""
        with self._download() as arriving:  # the server refuses those who may not
            if expected is None:
                raise Conflict(
                    f"the hashes of {self.name}@{self.version} were withheld when its manifest"
                    " was read; get the dataset again"
                )
            for chunk in arriving:
                mark.update(chunk)
                if last:
                    yield last
                last = chunk
        if mark.hexdigest() != expected:
            message = f"what arrived of {self.name}@{self.version} is not the file of its manifest"
            raise ServerError(message, status=200)
        yield last

    def verify(self) -> JSON:
        """Have the server compute it again from what it was made of; give what the check says.

        :raises DatasetDiffers: it is not equal, or could not be computed again; says where.
        """
        check = self._check()
        if check["verdict"] != "equal":
            raise DatasetDiffers(f"{self.name}@{self.version} {said(check)}", check=check)
        return check


def said(check: JSON) -> str:
    """Say what a check found, in words."""
    if check["verdict"] is None:
        return f"could not be computed again: {check['error']}"
    found = check["found"]
    if check["verdict"] == "equal":
        return f"is equal: {found['rows']} rows"
    columns = ", ".join(f"{name} in {count}" for name, count in found["columns"].items())
    rows = f"{found['rows_differing']} of {found['rows']} rows differ"
    parts = [f"{rows} ({columns})" if columns else rows, *found["changed"]]
    return f"is not equal: {'; '.join(parts)}"
