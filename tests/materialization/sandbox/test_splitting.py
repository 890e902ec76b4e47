"""Rows that are written apart by windows: none of them may be in no window."""

from __future__ import annotations

import pytest

from materialization.compute.reports import Counters
from materialization.errors import EngineStopped
from materialization.sandbox.splitting import parts_of

FOLDER = "/staging/parts"
COUNTED = [Counters(rows_read=4, dropped_null_key=1, dropped_null_time=1), Counters(rows_read=3)]
#: The first window's rows are in two stretches.
FIRSTS = [0, 2, 3]
WRITTEN = [
    (f"{FOLDER}/__part=0/a.parquet", 1, 1),
    (f"{FOLDER}/__part=1/a.parquet", 1, 1),
    (f"{FOLDER}/__part=2/a.parquet", 3, 1),
]


def test_files_are_taken_by_the_window_of_their_folder():
    first, second = parts_of(WRITTEN, COUNTED, FOLDER, FIRSTS)

    assert first.files == (f"{FOLDER}/__part=0/a.parquet", f"{FOLDER}/__part=1/a.parquet")
    assert (second.files, second.counters.rows) == ((f"{FOLDER}/__part=2/a.parquet",), 3)
    assert first.counters.rows == 2


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (
            [*WRITTEN, (f"{FOLDER}/__part=__HIVE_DEFAULT_PARTITION__/b.parquet", 1, 1)],
            r"1 of them were written for none \(__part=__HIVE_DEFAULT_PARTITION__/b.parquet\)",
        ),
        ([*WRITTEN, ("/elsewhere/__part=1/b.parquet", 1, 1)], "written for none"),
        (WRITTEN[:2], "0 rows were written for window 2 of 2, which has 3 in the source"),
        (
            [*WRITTEN, (f"{FOLDER}/__part=0/b.parquet", 1, 1)],
            "3 rows were written for window 1 of 2, which has 2 in the source",
        ),
    ],
)
def test_rows_of_no_window_and_rows_that_lack_are_an_error_in_words(written, said):
    with pytest.raises(EngineStopped, match=said):
        list(parts_of(written, COUNTED, FOLDER, FIRSTS))
