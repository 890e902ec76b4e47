"""Names for the shapes that cross this package's face.
Not for behaviour; pandas, polars and pyarrow are named here for type checkers only, never imported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    # The extra may be absent, and not every library ships complete types.
    import pandas as pd  # type: ignore[import-not-found,import-untyped,unused-ignore]
    import polars as pl  # type: ignore[import-not-found,unused-ignore]
    import pyarrow as pa  # type: ignore[import-not-found,import-untyped,unused-ignore]

    from assay.objects import Definition

JSON: TypeAlias = dict[str, Any]
Columns: TypeAlias = dict[str, list[Any]]
Rows: TypeAlias = Sequence[Mapping[str, Any]]
EntityRows: TypeAlias = "Rows | Mapping[str, Sequence[Any]]"
DataFrame: TypeAlias = "pd.DataFrame"
PolarsFrame: TypeAlias = "pl.DataFrame"
ArrowTable: TypeAlias = "pa.Table"
EntityFrame: TypeAlias = "pd.DataFrame | pl.DataFrame | pa.Table | EntityRows"
#: What rows that are sent may be, too: batches that are read as they are sent.
SentRows: TypeAlias = "EntityFrame | pa.RecordBatchReader"
Path: TypeAlias = "str | PathLike[str]"
Document: TypeAlias = "Mapping[str, Any] | Definition"
Definitions: TypeAlias = "Path | Document | Sequence[Path | Document]"
# A list of references, one reference, the name of a feature service, or the service itself.
Features: TypeAlias = "Sequence[str] | str | Mapping[str, Any] | None"
# A name in references → {"view": the view it stands for, "join_keys": {key: the frame's column}}.
NamedViews: TypeAlias = "Mapping[str, Mapping[str, Any]] | None"
Timing: TypeAlias = Literal["known", "event"]


class Listed(list[JSON]):
    """Objects of a list. ``total`` is how many there are, of which a limit may leave some out."""

    def __init__(self, found: Iterable[JSON], total: int | None) -> None:
        super().__init__(found)
        self.total = total
