"""Sources of other systems as definitions say them."""

from __future__ import annotations

import pytest

from registry.reading.parsing import InvalidDefinitions, parse_files
from registry.spec.sources.postgres import PostgresSource

SOURCE = """
kind: DataSource
name: purchases
type: postgres
connection: warehouse
event_timestamp: paid_at
"""


def read(more: str) -> PostgresSource:
    (definition,) = parse_files([("features.yaml", SOURCE + more)])
    spec = definition.spec
    assert isinstance(spec, PostgresSource)
    return spec


def test_a_table_or_a_query_is_said_and_nothing_is_made_up():
    assert read("table: user").table == "user"  # it is written in quotes
    assert (read("table: sales.purchases").table, read("table: a").query) == ("sales.purchases", "")
    query = "SELECT id, paid_at FROM purchases"
    assert (read(f"query: {query}").query, read(f"query: {query}").table) == (query, "")
    assert read("table: a").look_back == read("table: a\nlookback: 1d").look_back


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("", "table: write either a `table` or a `query` of one SELECT"),
        ("table: a\nquery: SELECT 1 AS x", "table: write either a `table` or a `query`"),
        ("table: a.b.c", "table: 'a.b.c' is no table; write it as in purchases or sales.purchases"),
        ('table: "a\\"; DROP TABLE x"', "table: .* is no table"),
        ("table: pg_catalog.pg_stat_activity", "table: .* is the server's own; read tables of"),
        ("table: PG_STAT_activity", "table: .* is the server's own"),
        ("table: pg_toast_temp_1.x", "table: .* is the server's own"),
        ("table: Information_Schema.columns", "table: .* is the server's own"),
        ("query: DELETE FROM x", "query: write exactly one SELECT"),
        ("query: SELECT now() AS x", "query: 'CURRENT_TIMESTAMP' is not on the list"),
        ("table: a\npath: b", "path: unknown key"),
        ("table: a\nlookback: long", "lookback: "),
        ("table: a\ncreated_timestamp: paid_at", "created_timestamp: it is the event_timestamp's"),
    ],
)
def test_what_is_wrong_is_said_where_it_stands(more, said):
    with pytest.raises(InvalidDefinitions, match=said):
        read(more)


def test_a_connection_is_named_and_no_address():
    with pytest.raises(InvalidDefinitions, match="connection: it names no connection"):
        parse_files([("f.yaml", SOURCE.replace("warehouse", "postgresql://u:p@db/x") + "table: a")])
    with pytest.raises(InvalidDefinitions, match="connection"):
        parse_files([("f.yaml", SOURCE.replace("connection: warehouse\n", "") + "table: a")])
