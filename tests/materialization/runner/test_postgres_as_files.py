"""The same rows in a file and in a table are the same stored rows, however they arrive."""

from __future__ import annotations

import random
from datetime import timedelta

import duckdb
import pytest

from materialization.choices import CertificateKind
from materialization.models import MaterializationRun
from materialization.requests.certificates import request_certificate
from materialization.requests.recomputing import request_backfill
from materialization.runner.certifying import certify
from tests.factories import DEFINITIONS, SOURCE
from tests.materialization.run_world import (
    AT,
    HOUR,
    committed,
    fresh,
    materialize,
    perform,
    snapshot,
    write_rows,
)
from tests.materialization.runner.test_adopting import TICKS
from tests.materialization.table_world import TABLE, approved, insert

pytestmark = pytest.mark.django_db
COLUMNS = DEFINITIONS
AGGREGATED = TICKS
UNBOUNDED = TICKS.replace("3h", "unbounded")
#: Ticks begin at the view's start; rows before it are in their windows.
STARTED = UNBOUNDED.replace("owner: rides", 'owner: rides\nstart: "2026-01-01T00:00:00Z"')


def in_table(text: str) -> str:
    """Return the same definitions over the table, under other names."""
    text = text.replace(SOURCE, TABLE)
    return (
        text.replace("driver_stats", "table_stats")
        .replace("driver_hourly", "driver_table")
        .replace("table: table_stats", "table: driver_stats")
    )


def stored(version):
    files = snapshot(version).files
    if not files:
        return []
    found = duckdb.read_parquet(list(files), union_by_name=True)
    names = [name for name in found.columns if "sequence" not in name]
    order = ", ".join(f'"{name}"' for name in names)
    return found.project(order).order(order).fetchall()


def some_rows(chance: random.Random, count: int, until):
    rows = []
    for _ in range(count):
        event = until - chance.randrange(0, 20 * 60) * timedelta(minutes=1)
        known = max(event, until - chance.randrange(0, 50) * timedelta(minutes=1))
        rows.append((chance.randrange(1001, 1005), event, known, 0.5, chance.randrange(100)))
    return rows


@pytest.mark.parametrize(
    "text",
    [COLUMNS, AGGREGATED, UNBOUNDED, STARTED],
    ids=["columns", "ticks", "unbounded", "started"],
)
@pytest.mark.parametrize("stamped", [True, False], ids=["stamped", "unstamped"])
def test_a_table_and_a_file_of_the_same_rows_are_stored_alike(
    table,
    cast,
    sources,
    settings,
    text,
    stamped,
):
    settings.RUN_CHUNK_ROWS = 5
    chance = random.Random(str(stamped))
    table.run("TRUNCATE driver_stats")
    rows, end = some_rows(chance, 30, AT), AT
    write_rows(sources, rows)
    insert(table, rows)
    texts = [text, in_table(text)]
    if not stamped:
        texts = [each.replace("created_timestamp: created\n", "") for each in texts]
    pair = [approved(cast, each) for each in texts]
    for step in range(2):
        with committed():
            runs = [materialize(version, end=end) for version in pair]
        assert [run.status for run in runs] == ["succeeded"] * 2, [run.error for run in runs]
        assert stored(pair[0]) == stored(pair[1]), step
        end += (step + 1) * HOUR
        more = some_rows(chance, 8, end)
        rows += more
        write_rows(sources, rows)
        insert(table, more)


def test_what_the_lookback_misses_a_comparison_counts_and_a_recompute_finds(
    table,
    cast,
):
    text = in_table(COLUMNS).replace("created_timestamp: created\n", "")
    version = approved(cast, text)
    with committed():
        materialize(version)
        insert(table, [(4711, AT - 60 * HOUR, None, 0.5, 5)])
        run = materialize(version, end=AT + HOUR)
    assert run.source_counts["late"] == 0

    made = request_certificate(
        version=fresh(version), kind=CertificateKind.SOURCE, sample=None, at=AT + HOUR, actor=None
    )
    with committed():
        certify(certificate_id=made.pk, worker="w", clock=lambda: AT + HOUR)
    made.refresh_from_db()
    assert made.missing + made.late == 1

    with committed():
        again = request_backfill(
            version=fresh(version), start=None, end=None, at=AT + HOUR, actor=cast.operator
        )
        perform(again, at=AT + HOUR)
    again = MaterializationRun.objects.get(pk=again.pk)
    assert (again.status, again.source_counts["late"]) == ("succeeded", 1)


def test_what_is_before_a_recompute_is_the_sources_beginning_in_a_table_as_in_a_file(
    table,
    cast,
    sources,
):
    """The window before its start holds no row: the first is not the first in the window."""
    table.run("TRUNCATE driver_stats")

    def write(trips):
        events = [(AT - 90 * HOUR, 1), (AT - 9.5 * HOUR, trips), (AT - 2 * HOUR, 3)]
        rows = [(1001, event, event, 0.5, value) for event, value in events]
        table.run("TRUNCATE driver_stats")
        write_rows(sources, rows)
        insert(table, rows)

    write(2)
    pair = [approved(cast, text) for text in (AGGREGATED, in_table(AGGREGATED))]
    with committed():
        assert [materialize(each).status for each in pair] == ["succeeded"] * 2
    write(7)
    runs = []
    for version in pair:
        with committed():
            asked = request_backfill(
                version=fresh(version),
                start=AT - 10 * HOUR,
                end=None,
                at=AT + HOUR,
                actor=cast.operator,
            )
            perform(asked, at=AT + HOUR)
        runs.append(MaterializationRun.objects.get(pk=asked.pk))

    assert [run.status for run in runs] == ["succeeded"] * 2, [run.error for run in runs]
    counts = [(run.source_counts["corrected"], run.source_counts["gone"]) for run in runs]
    assert counts[0] == counts[1]
    assert counts[0][0] > 0
    assert stored(pair[0]) == stored(pair[1])
