# ruff: noqa: S608 - names and texts are quoted by sql_text, the rest are numbers
"""Rows that a source has more than once, taken out of a job's staged files: equal rows are one.

Equal are rows of the same keys, stamps and values, and so they are of one job, however its run is
cut. What is compared with stored rows (``transforms.unseen``) is that already.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from lib.sql_text import identifier, text
from materialization.compute.stored_rows_sql import (
    ORDERED_ROWS,
    as_staged_files,
    numbered_rows,
    stored_rows,
)
from materialization.stores.columns import EVENT, PLACE, stored_schema
from materialization.transforms.alike import alike

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import duckdb

    from materialization.compute.jobs import ComputeJob
    from registry.spec.version_spec import VersionSpec


def store_once(
    connection: duckdb.DuckDBPyConnection, job: ComputeJob, files: Sequence[str], *, rows: int
) -> tuple[tuple[str, ...], int]:
    """Return the files with each row once, and how many rows were given more than once.

    To see that there are none takes a hash of the keys and the event of each row, sorted; where
    some are alike, of all columns. Only a file that has such a row is written again.
    """
    if (
        rows < 2
        or job.spec.transform.makes_ticks
        or all(each.unseen for each in job.all_readings())
    ):
        return tuple(files), 0
    for columns in _by_and_by(job.spec):
        hashed = f"hash({', '.join(columns)})"
        found = alike(connection, f"SELECT {hashed} AS h FROM {stored_rows(files)}", rows)
        if not found.num_rows:
            return tuple(files), 0
    connection.register("suspected", found)
    connection.execute(f"CREATE TEMP TABLE repeats AS {_repeats_sql(job.spec, hashed, files)}")
    connection.unregister("suspected")
    of_files = connection.execute("SELECT file, count(*) FROM repeats GROUP BY file").fetchall()
    counts = dict(of_files)
    kept: list[str] = []
    for file in files:
        kept += _written_again(connection, job, file, rows=rows) if file in counts else [file]
    return tuple(kept), sum(counts.values())


def _by_and_by(spec: VersionSpec) -> Iterator[list[str]]:
    """Yield the columns by which equal rows are looked for; the last are all of them."""
    yield [*(identifier(key.name) for key in spec.join_keys), EVENT]
    yield [identifier(name) for name in stored_schema(spec).names]


def _repeats_sql(spec: VersionSpec, hashed: str, files: Sequence[str]) -> str:
    """Return ``file`` and ``row`` of all but one of each row that is there more than once.

    Texts tell 0.0 from -0.0, which are equal to the engine and not to who reads them.
    """
    place = ", ".join(PLACE)
    texts = [f"CAST({identifier(feature.name)} AS VARCHAR)" for feature in spec.features]
    columns = ", ".join([*map(identifier, stored_schema(spec).names), *texts])
    return (
        f"SELECT {PLACE[0]} AS file, {PLACE[1]} AS row FROM"
        f" (SELECT *, {place}, {hashed} AS __hash FROM {stored_rows(files)})"
        " SEMI JOIN suspected ON __hash = h"
        f" QUALIFY row_number() OVER (PARTITION BY {columns} ORDER BY {place}) > 1"
    )


def _written_again(
    connection: duckdb.DuckDBPyConnection, job: ComputeJob, file: str, *, rows: int
) -> list[str]:
    """Write a file once more without its repeats, into a folder; return what it is now.

    It is removed: of a job that is refused the whole folder is kept.
    """
    columns = ", ".join(map(identifier, stored_schema(job.spec).names))
    order = f" ORDER BY {EVENT}" if rows <= ORDERED_ROWS else ""
    less = f"(SELECT row FROM repeats WHERE file = {text(file)})"
    written = connection.execute(
        f"COPY (SELECT {columns} FROM {numbered_rows([file])}"
        f" ANTI JOIN {less} ON file_row_number = row{order})"
        f" TO {text(_unused(job.staging))} {as_staged_files(job.spec)}"
    ).fetchall()
    Path(file).unlink()
    return [name for name, size, *_ in written if size]


def _unused(staging: str) -> str:
    """Return a folder that is not there yet: another file, or another job, may have made some."""
    folders = (Path(staging) / f"once-{number}" for number in count())
    return str(next(folder for folder in folders if not folder.exists()))
