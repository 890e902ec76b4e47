"""Rows are cut into stretches of about as many, in whatever order they are read."""

from __future__ import annotations

import duckdb
import pytest

from materialization.transforms.stretches import cuts, moments_sql
from tests.materialization.engine_cases import make_spec

ROWS = 400_000
NARROW, WIDE = (make_spec(features=[(f"f{n}", "float64") for n in range(m)]) for m in (1, 40))


@pytest.mark.parametrize("order", ["i", "hash(i)"])
def test_stretches_have_about_as_many_rows_each(tmp_path, order):
    engine = duckdb.connect(config={"threads": 2})
    engine.execute(
        f"COPY (SELECT make_timestamptz(i) AS e FROM range({ROWS}) AS r(i) ORDER BY {order})"
        f" TO '{tmp_path / 'rows'}' (FORMAT parquet, ROW_GROUP_SIZE 10240)"
    )
    [(moments,)] = engine.execute(
        f"SELECT {moments_sql('true')} FROM read_parquet('{tmp_path / 'rows'}')"
    ).fetchall()

    found = cuts(WIDE, moments, 2_000_000)

    ends = (0, *found, ROWS)
    each = [after - before for before, after in zip(ends, ends[1:], strict=False)]
    assert len(each) == 4
    assert min(each) > 0.15 * ROWS


@pytest.mark.parametrize(
    ("spec", "rows", "most", "many"),
    [
        (WIDE, 500_000, 60, 1),
        (WIDE, 500_001, 60, 2),
        (WIDE, 10_000_000, 60, 20),
        (WIDE, 10_000_000, 7, 7),
        (WIDE, 10_000_000, 0, 1),
        (WIDE, 10**10, 60, 60),
        (NARROW, 10_000_000, 60, 7),
    ],
)
def test_files_are_neither_small_nor_too_many(spec, rows, most, many):
    assert len(cuts(spec, range(63), rows, most=most)) == many - 1


def test_without_a_row_there_is_no_cut():
    [(moments,)] = duckdb.execute(
        f"SELECT {moments_sql('true')} FROM (SELECT NULL::TIMESTAMPTZ AS e)"
    ).fetchall()

    assert cuts(WIDE, moments, 10_000_000) == ()
