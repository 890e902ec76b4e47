"""How rows are written: numbers without a long look for dictionaries, texts with one."""

from __future__ import annotations

import duckdb
import pyarrow.parquet as pq
import pytest

from materialization.compute.stored_rows_sql import as_staged_files
from tests.factories import DEFINITIONS, make_version

pytestmark = pytest.mark.django_db
TEXTS = DEFINITIONS.replace("conv_rate, type: float32", "conv_rate, type: string")


@pytest.mark.parametrize(("text", "has_dictionary"), [(DEFINITIONS, False), (TEXTS, True)])
def test_only_of_numbers_alone_is_a_dictionary_given_up_early(cast, tmp_path, text, has_dictionary):
    spec = make_version(cast, text=text).spec
    values = "SELECT i % 5000 AS n, 'merchant-' || (i % 5000) AS m FROM range(100000) AS r(i)"

    duckdb.connect(config={"threads": 1}).execute(
        f"COPY ({values}) TO '{tmp_path / 'rows'}' {as_staged_files(spec)}"
    )

    (file,) = (tmp_path / "rows").iterdir()
    column = pq.read_metadata(file).row_group(0).column(1)
    assert any("DICTIONARY" in each for each in column.encodings) is has_dictionary
