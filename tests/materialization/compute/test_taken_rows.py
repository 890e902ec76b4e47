"""Of rows that come in batches the one taken of each number, wherever a batch ends."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from materialization.compute.point_in_time_sql import ROW, SETTLING
from materialization.compute.taken_rows import taken_rows
from materialization.stores.columns import INSTANT

few = st.integers(0, 2)
SCHEMA = pa.schema(
    [(ROW, pa.int64()), (SETTLING[0], INSTANT), *((name, pa.int64()) for name in SETTLING[1:])]
)


@settings(max_examples=300)
@given(
    st.lists(st.lists(st.tuples(few, few, few, few), min_size=1, max_size=6), max_size=8),
    st.lists(st.integers(0, 9), max_size=30),
)
def test_the_greatest_of_each_is_given_in_order(groups, sizes):
    rows = [(number, *one) for number, group in enumerate(groups) for one in group]
    table = pa.Table.from_pylist([dict(zip(SCHEMA.names, r, strict=True)) for r in rows], SCHEMA)
    whole = table.combine_chunks()
    batches, place = [pa.RecordBatch.from_pylist([], SCHEMA)], 0
    for size in [*sizes, len(rows)]:
        batches += whole.slice(place, size).to_batches()
        place = min(place + size, len(rows))

    found = pa.Table.from_batches(taken_rows(batches), SCHEMA).cast(
        pa.schema([(name, pa.int64()) for name in SCHEMA.names])
    )

    assert list(zip(*found.to_pydict().values(), strict=True)) == [
        (number, *max(group)) for number, group in enumerate(groups)
    ]


def test_what_was_not_found_stays():
    batch = pa.record_batch([[0, 1, 1], *[[None, None, 4]] * 4], names=[ROW, *SETTLING])

    [given] = taken_rows([batch])

    assert given[ROW].to_pylist() == [0, 1]
    assert given[SETTLING[0]].to_pylist() == [None, 4]
