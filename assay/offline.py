"""The files that hold a view's rows, as readers of Parquet take them.

Not for what was known when: a training set (``get_historical_features``) has worked that out.
"""

from __future__ import annotations

from assay.shapes import JSON


class OfflinePaths(list[str]):
    """Paths of Parquet files, earliest events first: a list, with what was said about it.

    Give it to ``pandas.read_parquet``, ``polars.read_parquet``, ``duckdb.read_parquet`` or
    ``spark.read.parquet(*paths)``. Files hold every row there ever was, and those at the edges rows
    outside of the time that was asked for: docs/datasets.md says which of several counts.
    """

    def __init__(self, found: JSON) -> None:
        super().__init__(file["uri"] for file in found["files"])
        #: The version of the view, and of the Delta table whose files these are.
        self.version: str = found["version"]
        self.delta_version: int = found["delta_version"]
        self.rows: int = found["rows"]
        #: Each column's type, by name.
        self.columns: dict[str, str] = {each["name"]: each["type"] for each in found["columns"]}
        self.warnings: list[str] = found["warnings"]
