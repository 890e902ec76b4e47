"""One version of a dataset, as a program has it: its rows, its manifest, and the proof of both.
Not for asking for one; see ``datasets``.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

from assay import notebooks
from assay.errors import Conflict, DatasetDiffers, Invalid
from assay.extras import require
from assay.progress import arriving
from assay.resuming import proven
from assay.shapes import JSON, ArrowTable, DataFrame, PolarsFrame
from assay.tables import to_pandas, to_polars, with_one_json_text

Download = Callable[[], Iterator[bytes]]
Check = Callable[[], JSON]


class DatasetFacts:
    """What is known of a dataset without its rows."""

    def __init__(self, found: JSON, manifest: JSON) -> None:
        self._found, self._manifest = found, manifest

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, version={self.version}, rows={len(self)})"

    def _repr_html_(self) -> str:
        said = {
            "dataset": f"{self.name}@{self.version}",
            "rows": len(self),
            "ended_at": self.ended_at,
            "manifest_hash": self.manifest_hash,
            "content_hash": self.content_hash,
            "warnings": self.warnings,
        }
        columns = ("name", "reference", "type")
        features = [[each.get(c) for c in columns] for each in self.manifest["features"]]
        return notebooks.facts(said) + notebooks.table(columns, features)

    def __len__(self) -> int:
        return int(self._found["rows"])

    @property
    def name(self) -> str:
        return str(self._found["name"])

    @property
    def version(self) -> int:
        return int(self._found["version"])

    @property
    def ended_at(self) -> str | None:
        """When somebody ended it, or its time was over: its rows are removed. None while it is."""
        found: str | None = self._found.get("ended_at")
        return found

    @property
    def end_reason(self) -> str | None:
        """Why it was ended, as whoever did said."""
        found: str | None = self._found.get("end_reason")
        return found

    @property
    def manifest(self) -> JSON:
        """All it was made of: request, frame, versions, files, engine, hashes.

        No values but those that the SQL of a query names. That and hashes are None for
        those who may not read the rows.
        """
        found: JSON = self._manifest["manifest"]
        return found

    @property
    def parameters(self) -> list[dict[str, str]] | None:
        """What encodings were fitted to, of each view of the manifest: feature → JSON text.

        None for those who may not read the rows, and once it is ended.
        """
        found: list[dict[str, str]] | None = self._manifest.get("parameters")
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


class Dataset(DatasetFacts):
    """Immutable: what it gives today it gives next year. ``manifest_hash`` is its name in a model.

    The rows are fetched when they are first asked for.
    """

    def __init__(self, found: JSON, manifest: JSON, *, download: Download, check: Check) -> None:
        super().__init__(found, manifest)
        self._download, self._check = download, check
        self._table: Any = None

    def to_arrow(self, split: str | None = None) -> ArrowTable:
        """Give the rows as a ``pyarrow.Table``. Needs the extra ``assay[pandas]``.

        With ``split`` only those of that part, without the column that says so.

        :raises ServerError: what arrived is not the file that the manifest names.
        :raises Invalid: the dataset has no such part.
        """
        if split is not None:
            return self._part(split)
        if self._table is None:
            parquet = require("pyarrow.parquet", "Dataset.to_arrow")
            sink = io.BytesIO()
            for chunk in shown(self, self.chunks()):
                sink.write(chunk)
            self._table = with_one_json_text(parquet.read_table(sink))
        return self._table

    def to_df(self, split: str | None = None) -> DataFrame:
        """Give the rows as a pandas frame: the entity frame's columns, then the features.

        With ``split`` only those of that part, without the column that says so.

        :raises Invalid: the dataset has no such part.
        """
        require("pandas", "Dataset.to_df")
        return to_pandas(self.to_arrow(split))

    def to_polars(self, split: str | None = None) -> PolarsFrame:
        """Give them as a polars frame. Needs the extra ``assay[polars]``; see :meth:`to_df`."""
        require("polars", "Dataset.to_polars")
        return to_polars(self.to_arrow(split))

    def _part(self, name: str) -> ArrowTable:
        compute = require("pyarrow.compute", "Dataset.to_arrow")
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

        A transfer that is cut goes on where it was.

        :raises ServerError: what arrived is not the file that the manifest names.
        :raises Conflict: its hash was withheld when the manifest was read.
        """
        expected = self.manifest["rows"]["sha256"]
        pieces, name = self._download(), f"{self.name}@{self.version}"
        if expected is None:
            next(pieces, None)  # the server refuses those who may not
            raise Conflict(
                f"the hashes of {name} were withheld when its manifest was read; get the dataset"
                " again"
            )
        return proven(pieces, expected, f"{name} is not the file of its manifest")

    def verify(self) -> JSON:
        """Have the server compute it again from what it was made of; give what the check says.

        :raises DatasetDiffers: it is not equal, or could not be computed again; says where.
        """
        check = self._check()
        if check["verdict"] != "equal":
            raise DatasetDiffers(f"{self.name}@{self.version} {said(check)}", check=check)
        return check


def shown(dataset: DatasetFacts, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Give the pieces of a dataset, and show at a terminal how much of it has arrived."""
    size = dataset.manifest["rows"].get("size")
    return arriving(chunks, f"dataset {dataset.name}@{dataset.version}", size)


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
