"""How a PostgreSQL source's columns, times and faults come, against a real server."""

from __future__ import annotations

import tempfile
import threading
import time
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from materialization.compute import wanted as wanting
from materialization.compute.duckdb_engine import DuckDBEngine
from materialization.compute.look import look
from materialization.errors import (
    SourceFileUnsupported,
    SourceRefused,
    SourceTooLarge,
    SourceUnavailable,
)
from materialization.finding.fetching import Wanted
from materialization.finding.kinds import FETCHERS, find_source
from tests.materialization.engine_cases import LIMITS, make_spec
from tests.postgres import make_source

ALL = Wanted()


def fetched(warehouse, source, wanted=ALL, *, link=None, watch=lambda: None):
    """Return the rows that were written, and what was said of them."""
    link = link or warehouse.link()
    rows = find_source(source, link)
    with tempfile.TemporaryDirectory() as folder:
        found = FETCHERS[type(source)].fetch(rows, wanted, folder, watch, link)
        (path,) = found.files.values()
        return pq.read_table(path), found


def table(warehouse, columns, *values):
    warehouse.run(f"CREATE TABLE rows ({columns})")
    for each in values:
        warehouse.run(f"INSERT INTO rows VALUES {each}")
    return make_source(table="rows")


@pytest.mark.parametrize(
    ("kind", "given", "arrow", "value"),
    [
        ("smallint", "1", "int16", 1),
        ("bigint", "9223372036854775807", "int64", 2**63 - 1),
        ("real", "1.5", "float", 1.5),
        ("double precision", "0.1", "double", 0.1),
        ("numeric(10,2)", "1.10", "decimal128(10, 2)", Decimal("1.10")),
        ("numeric(38,0)", "9" * 38, "decimal128(38, 0)", Decimal("9" * 38)),
        ("numeric", "12345678901234567890.123456789012345678901234567890", "string",
         "12345678901234567890.123456789012345678901234567890"),
        ("boolean", "true", "bool", True),
        ("text", "'é\n'", "string", "é\n"),
        ("char(3)", "'z'", "string", "z  "),
        ("bytea", "'\\x00ff'", "binary", b"\x00\xff"),
        ("date", "'1969-12-31'", "date32[day]", date(1969, 12, 31)),
        ("timestamp", "'2024-01-01 00:00:00.123456'", "timestamp[us]",
         datetime.fromisoformat("2024-01-01T00:00:00.123456")),
        ("timestamptz", "'2024-01-01 00:00:00+02'", "timestamp[us, tz=UTC]",
         datetime(2023, 12, 31, 22, tzinfo=UTC)),
        ("uuid", "'A0EEBC99-9c0b-4ef8-bb6d-6bb9bd380a11'", "string",
         "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("json", """'{"a": 1.10}'""", "string", '{"a": 1.10}'),
        ("jsonb", """'{"a":   1.10}'""", "string", '{"a": 1.10}'),
        ("oid", "4294967295", "int64", 2**32 - 1),
        ("inet", "'10.0.0.1/8'", "string", "10.0.0.1/8"),
        ("date[]", "'{2024-01-01,null}'", "list<element: date32[day]>", [date(2024, 1, 1), None]),
        ("int[]", "'{1,null,3}'", "list<element: int32>", [1, None, 3]),
        ("numeric[]", "'{1.10}'", "list<element: string>", ["1.10"]),
        ("mood", "'happy'", "string", "happy"),
        ("mood[]", "'{happy}'", "list<element: string>", ["happy"]),
        ("amount", "3", "int32", 3),
    ],
)  # fmt: skip
def test_a_value_comes_as_it_is_or_as_its_exact_text(warehouse, kind, given, arrow, value):
    warehouse.run("CREATE TYPE mood AS ENUM ('happy')", "CREATE DOMAIN amount AS int")
    source = table(warehouse, f"x {kind}, event date", f"({given}, '2024-01-01')", "(NULL, NULL)")

    rows, _ = fetched(warehouse, source)

    assert str(rows.schema.field("x").type) == arrow
    assert rows["x"].to_pylist() == [value, None]


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        ("timestamptz", "'infinity'", "column 'x' holds infinity, which is no instant"),
        ("timestamp", "'-infinity'", "column 'x' holds infinity, which is no instant"),
        ("date", "'infinity'", "column 'x' holds infinity, which is no instant"),
        ("date", "'-infinity'", "column 'x' holds infinity, which is no instant"),
        ("timestamptz[]", "ARRAY['infinity'::timestamptz]", "column 'x' holds infinity, which is"),
        ("timestamp[]", "'{2024-01-01,-infinity,null}'", "column 'x' holds infinity, which is"),
        ("date[]", "'{null,infinity}'", "column 'x' holds infinity, which is no instant"),
        ("numeric(5,2)", "'NaN'", "column 'x' holds NaN or infinity, which no decimal is"),
        ("int[]", "'{{1,2},{3,4}}'", "column 'x' holds a list of lists"),
        ("text[]", "'{{a,b}}'", "column 'x' holds a list of lists"),
    ],
)
def test_a_value_that_nothing_keeps_is_refused_by_its_columns_name(warehouse, kind, given, said):
    source = table(warehouse, f"x {kind}, event date", f"({given}, '2024-01-01')")

    with pytest.raises(SourceRefused, match=said):
        fetched(warehouse, source)


@pytest.mark.parametrize("kind", ["money", "interval", "timetz", "point", "int4range", "bit(3)"])
def test_a_type_that_nothing_keeps_is_left_out_or_refused_where_it_is_read(warehouse, kind):
    source = table(warehouse, f"x {kind}, event date", "(NULL, '2024-01-01')")

    rows, found = fetched(warehouse, source)
    assert rows.schema.names == ["event"]
    assert found.notes[0].startswith("column 'x' is ")
    assert found.notes[0].endswith(": it is left out.")
    with pytest.raises(SourceFileUnsupported, match=r"rows \(warehouse: rows\): column 'x' is "):
        fetched(warehouse, source, Wanted(frozenset({"x"})))


def test_a_numeric_without_precision_is_told_of(warehouse):
    source = table(warehouse, "x numeric, event date", "(1, '2024-01-01')")

    assert "x is numeric without a fixed precision" in fetched(warehouse, source)[1].notes[0]


def test_names_are_what_they_are(warehouse):
    warehouse.run(
        'CREATE SCHEMA "My Schema"',
        'GRANT USAGE ON SCHEMA "My Schema" TO reader',
        """CREATE TABLE "My Schema"."select" ("a""b" int, "SELECT" text, event date)""",
        'GRANT SELECT ON "My Schema"."select" TO reader',
        """INSERT INTO "My Schema"."select" VALUES (1, 'x', '2024-01-01')""",
    )

    rows, _ = fetched(warehouse, make_source(table="My Schema.select"))

    assert rows.to_pylist() == [{'a"b': 1, "SELECT": "x", "event": date(2024, 1, 1)}]


def test_two_columns_of_one_name_are_refused(warehouse):
    source = table(warehouse, "x int, event date")
    source = make_source(query="SELECT x, x, event FROM rows")

    with pytest.raises(SourceRefused, match="rows has two columns called 'x'"):
        fetched(warehouse, source)


def raising(name, state, given):
    """Return what makes a view that a function fails of, saying a value.

    Of a constant it fails before there are rows, when the server tells the state.
    """
    return (
        f"CREATE FUNCTION fails_{name}(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION 'bad %', $1 USING ERRCODE = '{state}'; END $$",
        f"CREATE VIEW {name} AS SELECT fails_{name}({given}) AS x, event FROM rows",
    )


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"table": "nowhere"}, "there is no such table"),
        ({"table": "nowhere.rows"}, "there is no such schema|there is no such table"),
        ({"query": "SELECT nothing FROM rows"}, "there is no such column"),
        ({"query": "SELECT lower(x) FROM rows"}, "there is no such function"),
        ({"table": "closed"}, "its user may not read that"),
        ({"table": "raising"}, "a value fails in the query, or something that it calls"),
        ({"table": "raised"}, "a function that the query calls raised an error .P0001."),
        ({"table": "unready"}, "what is asked for is not ready to be read .* .55000."),
        ({"table": "unlike"}, "a value fails in the query, or something that it calls .ZX001."),
        ({"query": "SELECT 1 / (x - x) AS x, event FROM rows"}, "a value fails in the query"),
    ],
)
def test_what_the_server_refuses_is_said_in_words(warehouse, keys, said):
    table(warehouse, "x int, event date", "(42424242, '2024-01-01')")
    warehouse.run(
        "CREATE TABLE closed (event date)",
        "REVOKE ALL ON closed FROM reader",
        "CREATE MATERIALIZED VIEW unready AS SELECT * FROM rows WITH NO DATA",
        *raising("raising", "P0001", "x"),
        *raising("raised", "P0001", "42424242"),
        *raising("unlike", "ZX001", "42424242"),
    )

    with pytest.raises(SourceRefused, match=f"connection warehouse: ({said})") as caught:
        fetched(warehouse, make_source(**keys))
    assert "42424242" not in caught.value.message


def test_a_query_that_gets_past_the_first_lock_changes_nothing(warehouse):
    """A function of somebody's own is called as a column is."""
    warehouse.run(
        "CREATE TABLE rows (x int, event date)",
        "GRANT ALL ON rows TO reader",
        "INSERT INTO rows VALUES (1, '2024-01-01')",
        "CREATE FUNCTION lower(int) RETURNS text LANGUAGE sql AS"
        " 'DELETE FROM rows RETURNING ''gone'''",
    )

    with pytest.raises(SourceRefused, match="the query would change something"):
        fetched(warehouse, make_source(query="SELECT lower(x) AS x, event FROM rows"))
    assert warehouse.run("SELECT count(*) FROM rows") == [(1,)]


TIMES = [
    ("timestamptz", "'2024-01-01 00:00+00'", "'2024-01-02 00:00+00'", "'2024-01-03 00:00+00'"),
    ("timestamp", "'2024-01-01'", "'2024-01-02'", "'2024-01-03'"),
    ("date", "'2024-01-01'", "'2024-01-02'", "'2024-01-03'"),
]


@pytest.mark.parametrize(("kind", *"abc"), TIMES)
def test_what_is_asked_for_by_time_is_what_comes_and_rows_without_one(warehouse, kind, a, b, c):
    values = [f"({n}, {when})" for n, when in enumerate((a, b, c, "NULL"), 1)]
    source = table(warehouse, f"x int, event {kind}", *values)
    second = datetime(2024, 1, 2, tzinfo=UTC)

    def asked(**bounds):
        return sorted(fetched(warehouse, source, Wanted(**bounds))[0]["x"].to_pylist())

    assert asked() == [1, 2, 3, 4]
    assert asked(until=second) == [1, 2, 4]
    assert asked(after=second) == [2, 3, 4]  # the instant itself may come: the sandbox decides
    assert asked(since=second, by_arrival=True) == [2, 3, 4]
    assert asked(after=second.replace(day=3), since=second) == [3, 4]
    assert asked(since=second, most_rows=9) == [1, 2, 3, 4]  # a look takes any
    assert asked(after=datetime(2024, 1, 2, 12, tzinfo=UTC), until=second.replace(day=4)) in (
        [3, 4],
        [2, 3, 4],  # a day is asked for whole
    )


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 1000), ("us", 10**6)])
def test_numbers_are_asked_for_in_their_unit(warehouse, unit, factor):
    seconds = [1_704_067_200, 1_704_153_600, -86_400]
    source = table(
        warehouse, "x int, event bigint", *(f"({n}, {s * factor})" for n, s in enumerate(seconds))
    )
    source = make_source(table="rows", unit=unit)
    after = datetime(2024, 1, 1, 12, tzinfo=UTC)

    assert fetched(warehouse, source, Wanted(after=after))[0]["x"].to_pylist() == [1]
    assert sorted(fetched(warehouse, source, Wanted(until=after))[0]["x"].to_pylist()) == [0, 2]


def test_what_became_known_later_comes_whatever_its_event(warehouse):
    source = table(
        warehouse, "x int, event timestamptz, created timestamptz",
        "(1, '2020-01-01', '2020-01-01')", "(2, '2020-01-01', '2024-01-02')",
        "(3, '2024-01-02', NULL)",
    )  # fmt: skip
    source = make_source(table="rows", created="created")
    after = datetime(2024, 1, 1, tzinfo=UTC)

    def asked(**more):
        return sorted(fetched(warehouse, source, Wanted(after=after, **more))[0]["x"].to_pylist())

    assert (asked(by_arrival=True), asked()) == ([2, 3], [3])


def test_of_many_rows_some_are_looked_at_and_that_is_said(warehouse, monkeypatch):
    values = [f"({n}, '2024-01-0{n}')" for n in range(1, 5)]
    source = table(warehouse, "k bigint, event date", *values)
    spec = replace(make_spec(features=[("k", "int64")], keys=[("k", "int64")]), source=source)

    def looked(most):
        monkeypatch.setattr(wanting, "LOOK_ROWS", most)
        made = DuckDBEngine(LIMITS, fetch=warehouse.fetch)
        (seen,) = look([spec], where=warehouse.link(), engine=made)
        return seen

    all_of_them, some = looked(4), looked(3)

    said = "only some of the rows were looked at; the first run reads all of them."
    assert (all_of_them.rows, said in all_of_them.warnings) == (4, False)
    assert (some.rows, some.first_event, said in some.warnings) == (None, None, True)
    assert all_of_them.schema.types == some.schema.types == {"k": "BIGINT", "event": "DATE"}
    assert all_of_them.schema.format == "postgres"


def test_an_empty_table_has_its_columns(warehouse):
    rows, _ = fetched(warehouse, table(warehouse, "x int, event date"))

    assert (rows.num_rows, rows.schema.names) == (0, ["x", "event"])


def test_all_that_is_read_is_of_one_state(warehouse):
    """Rows that come while it is read are of the next reading."""
    source = table(warehouse, "x int, event date")
    warehouse.run(
        "INSERT INTO rows SELECT g, '2024-01-01' FROM generate_series(1, 400000) g",
    )
    seen = []

    def watch():
        if not seen:
            seen.append(True)
            warehouse.run("INSERT INTO rows SELECT 0, '2024-01-01' FROM generate_series(1, 1000)")

    rows, _ = fetched(warehouse, source, watch=watch)
    again, _ = fetched(warehouse, source)

    assert (rows.num_rows, again.num_rows) == (400_000, 401_000)


def test_more_than_may_be_staged_is_refused(warehouse):
    source = table(warehouse, "x text, event date")
    warehouse.run("INSERT INTO rows SELECT md5(g::text), NULL FROM generate_series(1, 200000) g")

    with pytest.raises(SourceTooLarge, match="has more than 0 MB to read at once"):
        fetched(warehouse, source, link=warehouse.link(most_bytes=10_000))


def test_longer_than_it_may_take_is_stopped_on_the_server_too(warehouse):
    table(warehouse, "x int, event date")
    warehouse.run("INSERT INTO rows SELECT g, NULL FROM generate_series(1, 20000) g")
    source = make_source(query="SELECT a.x, a.event FROM rows a, rows b WHERE a.x * b.x = 7.5")

    with pytest.raises(SourceUnavailable, match="took longer than"):
        fetched(warehouse, source, link=warehouse.link(timeout_s=1.0))
    assert ends(warehouse)


def ends(warehouse):
    """Return whether nothing is asked of the server any more, soon."""
    running = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader' AND state <> 'idle'"
    until = time.monotonic() + 60
    while (still := warehouse.run(running) != [(0,)]) and time.monotonic() < until:
        time.sleep(0.05)
    return not still


def test_whoever_watches_may_stop_it(warehouse):
    table(warehouse, "x int, event date")
    warehouse.run("INSERT INTO rows SELECT g, NULL FROM generate_series(1, 20000) g")
    source = make_source(query="SELECT a.x, a.event FROM rows a, rows b WHERE a.x * b.x = 7.5")

    def watch():
        raise KeyError("stopped")

    with pytest.raises(KeyError, match="stopped"):
        fetched(warehouse, source, watch=watch)
    assert ends(warehouse)


def test_a_server_that_goes_away_in_the_middle_is_an_outage(warehouse):
    table(warehouse, "x int, event date")
    warehouse.run("INSERT INTO rows SELECT g, NULL FROM generate_series(1, 20000) g")
    source = make_source(query="SELECT a.x, a.event FROM rows a, rows b WHERE a.x <> b.x")

    def watch():
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'reader'"
        threading.Thread(target=warehouse.run, args=(ended,)).start()

    with pytest.raises(SourceUnavailable, match="warehouse: the server stopped, or went"):
        fetched(warehouse, source, watch=watch)


def test_no_server_at_all_is_an_outage(warehouse, tmp_path):
    link = warehouse.link()
    gone = type(link.connection)(host=str(tmp_path), database="x", user="reader", password="p4ssw")
    link = warehouse.link(connection=gone, secret=lambda: "p4ssw")

    with pytest.raises(SourceUnavailable, match="connection warehouse: the server does not answer"):
        fetched(warehouse, make_source(table="rows"), link=link)
    assert "p4ssw" not in repr(link)
    assert Path(tmp_path).exists()


def test_nothing_of_our_own_environment_is_used_to_log_in(warehouse, monkeypatch):
    source = table(warehouse, "x int, event date")
    monkeypatch.setenv("PGPASSWORD", "Tr0ub4dor-and-3")

    with pytest.raises(SourceUnavailable, match="the server"):
        fetched(warehouse, source, link=warehouse.link(secret=lambda: ""))


def test_nothing_of_our_own_environment_says_where_it_leads_or_how(warehouse, monkeypatch):
    source = table(warehouse, "x text, event date", "('é', '2024-01-01')")
    for name, value in {
        "PGHOSTADDR": "127.0.0.9",
        "PGOPTIONS": "-c search_path=pg_catalog",
        "PGCLIENTENCODING": "LATIN1",
        "PGTARGETSESSIONATTRS": "standby",
        "PGREQUIREPEER": "nobody-at-all",
        "PGREQUIREAUTH": "none",
        "PGSSLCERT": "/nowhere/cert",
        "PGSSLMAXPROTOCOLVERSION": "TLSv1",
    }.items():
        monkeypatch.setenv(name, value)

    assert fetched(warehouse, source)[0]["x"].to_pylist() == ["é"]


@pytest.mark.parametrize("name", ["PGHOSTADDR", "PGOPTIONS", "PGREQUIREAUTH", "PGREQUIREPEER"])
def test_each_variable_alone_says_nothing(warehouse, monkeypatch, name):
    source = table(warehouse, "x int, event date", "(1, '2024-01-01')")
    monkeypatch.setenv(name, "none" if name == "PGREQUIREAUTH" else "-c search_path=pg_catalog")

    assert fetched(warehouse, source)[0]["x"].to_pylist() == [1]
