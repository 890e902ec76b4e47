"""Rows of joined sources beside each row of a view's own: which is found, and what is refused."""

from __future__ import annotations

import csv
import json
import random
from datetime import UTC, datetime, timedelta

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from lib.errors import AssayError
from materialization.compute.duckdb_engine import DuckDBEngine
from materialization.compute.jobs import ComputeJob, Reading, SplitJob, SurveyJob
from materialization.finding.kinds import find_rows
from materialization.sandbox.opening import Opening
from materialization.sources.files import Whereabouts
from materialization.sources.where import Wheres
from materialization.stores.columns import INSTANT
from registry.spec.joins import JoinedSource, SourceJoin
from registry.spec.sources.base import TimeColumn
from registry.spec.sources.delta import DeltaSource
from registry.spec.sources.files import FileSource
from tests import oracle
from tests.materialization.engine_cases import LIMITS, computed_rows, make_spec, write_parquet

T = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
END = T + 1000 * HOUR
OWN = pa.schema(
    [("k", pa.int64()), ("event", INSTANT), ("loaded", INSTANT), ("p", pa.int32()),
     ("q", pa.string()), ("x", pa.float64())]
)  # fmt: skip
THEIRS = pa.schema(
    [("p", pa.int64()), ("code", pa.string()), ("e", INSTANT), ("c", INSTANT),
     ("price", pa.float64()), ("label", pa.string())]
)  # fmt: skip
SQL = (
    "SELECT k, event, {loaded} x, products.price AS price, products.label AS label,"
    " products.price * x AS cost FROM rows"
)


def make(root, *, created=True, theirs="c", ttl=None, on=None, sql=SQL, path="products.parquet"):
    """Return a version that joins products, and where both lie."""
    spec = make_spec(
        created="loaded" if created else None,
        features=[("price", "float64"), ("label", "string"), ("cost", "float64")],
        sql=sql.format(loaded="loaded," if created else ""),
        sources=(SourceJoin(name="products", on=on or {"p": "p"}, ttl=ttl),),
    )
    joined = FileSource(
        name="products",
        path=path,
        event_timestamp=TimeColumn(column="e"),
        created_timestamp=TimeColumn(column=theirs) if theirs else None,
    )
    where = Whereabouts(root=str(root))
    return msgspec.structs.replace(spec, joined=(JoinedSource(source=joined),)), Wheres(
        where, (where,)
    )


def computed(spec, where, **job):
    return computed_rows(DuckDBEngine(LIMITS), ComputeJob(spec, find_rows(spec, where), END, **job))


def own_row(k=1, hour=0, known=0, p=1, q="a", x=1.0):
    event = T + hour * HOUR
    return {"k": k, "event": event, "loaded": event + known * HOUR, "p": p, "q": q, "x": x}


def their_row(p=1, hour=0, known=0, price=1.0, label="a", code="a"):
    event = T + hour * HOUR
    known_at = None if known is None else event + known * HOUR
    return {"p": p, "code": code, "e": event, "c": known_at, "price": price, "label": label}


def write(root, own, theirs):
    write_parquet(root, own, OWN)
    write_parquet(root, theirs, THEIRS, name="products.parquet")


def expected(own, theirs, *, created, their_created, ttl, on):
    rows = [
        {
            **row,
            "event_timestamp": row["e"],
            "created_timestamp": row["c"] if their_created else None,
        }
        for row in theirs
    ]
    found = []
    for row in own:
        known = max(row["event"], row["loaded"]) if created else row["event"]
        keys = {name: row[ours] for name, ours in on.items()}
        beside = oracle.beside(
            rows, keys, row["event"], known, values=["label", "price"], ttl=ttl
        ) or {"price": None, "label": None}
        price, label = beside["price"], beside["label"]
        cost = None if price is None else price * row["x"]
        found.append((row["k"], row["event"], price, label, cost))
    return sorted(found, key=repr)


def given(table):
    columns = ("k", "event_timestamp", "price", "label", "cost")
    return sorted((tuple(row[c] for c in columns) for row in table.to_pylist()), key=repr)


@pytest.mark.parametrize("seed", range(12))
def test_each_row_finds_the_row_that_a_loop_finds(tmp_path, seed):
    dice = random.Random(seed)
    created, their_created = dice.random() < 0.7, dice.random() < 0.8
    ttl = dice.choice([None, "3h", "12h"])
    on = dice.choice([{"p": "p"}, {"p": "p", "code": "q"}])
    keys, hours = dice.choice([(1, 30), (3, 12), (8, 60)])
    lates = dice.choice([[0], [0, 0, 0, 5], [0, 1, 3, 9, 30], [-2, 0, 4], [None, 0, 7]])

    def some_hour():
        return dice.randrange(hours)

    own = [
        own_row(k=n, hour=some_hour(), known=dice.choice([0, 0, 1, 6, 20]),
                p=dice.choice([None, *range(keys)]), q=dice.choice("ab"), x=float(n))
        for n in range(150)
    ]  # fmt: skip
    theirs = [
        their_row(p=dice.choice([None, *range(keys)]), hour=some_hour(), known=dice.choice(lates),
                  price=dice.choice([None, 1.5, float(n)]), label=dice.choice([None, "x", "y"]),
                  code=dice.choice("ab"))
        for n in range(150)
    ]  # fmt: skip
    write(tmp_path, own, theirs)
    spec, where = make(
        tmp_path, created=created, theirs="c" if their_created else None, ttl=ttl, on=on
    )

    table, counted = computed(spec, where)

    assert counted.rows == len(own)
    assert given(table) == expected(
        own, theirs, created=created, their_created=their_created,
        ttl=spec.view.sources[0].ttl_duration, on=on,
    )  # fmt: skip


def test_a_row_that_became_known_later_is_beside_none_that_was_known_before(tmp_path):
    theirs = [their_row(hour=0, price=1.0), their_row(hour=1, known=10, price=2.0)]
    own = [own_row(k=1, hour=5), own_row(k=2, hour=5, known=6), own_row(k=3, hour=11)]
    write(tmp_path, own, theirs)

    table, _ = computed(*make(tmp_path))

    found = {row["k"]: row["price"] for row in table.to_pylist()}
    assert found == {1: 1.0, 2: 2.0, 3: 2.0}


@pytest.mark.parametrize(("ttl", "price"), [(None, 1.0), ("5h", 1.0), ("4h", None)])
def test_the_ttl_holds_to_the_instant(tmp_path, ttl, price):
    write(tmp_path, [own_row(hour=5)], [their_row(hour=0)])

    table, _ = computed(*make(tmp_path, ttl=ttl))

    assert table["price"].to_pylist() == [price]


def test_parts_read_apart_find_the_same(tmp_path):
    dice = random.Random(1)
    own = [own_row(k=n, hour=n, p=n % 3) for n in range(30)]
    write_parquet(tmp_path, own[:15], OWN, name="rows-a.parquet")
    write_parquet(tmp_path, own[15:], OWN, name="rows-b.parquet")
    theirs = [
        their_row(p=dice.randrange(3), hour=n, known=n % 5, price=float(n)) for n in range(30)
    ]
    write_parquet(tmp_path, theirs, THEIRS, name="products.parquet")
    spec, where = make(tmp_path)
    spec = msgspec.structs.replace(
        spec, source=msgspec.structs.replace(spec.source, path="rows-*.parquet")
    )
    found = find_rows(spec, where)
    readings = tuple(Reading(found.only([path]), ((None, END),)) for path in found.paths)

    apart, _ = computed(spec, where, readings=readings)
    together, _ = computed(spec, where)

    assert given(apart) == given(together)
    assert any(price is not None for _, _, price, *_ in given(apart))


def test_text_and_numbers_are_compared_as_text_and_the_plan_says_so(tmp_path):
    write(tmp_path, [own_row(q="007"), own_row(k=2, q="7")], [their_row(p=7)])
    spec, where = make(tmp_path, on={"p": "q"})

    table, _ = computed(spec, where)
    (look,) = DuckDBEngine(LIMITS).look([spec], find_rows(spec, where))

    assert {row["k"]: row["price"] for row in table.to_pylist()} == {1: None, 2: 1.0}
    assert "q is VARCHAR in rows and p is BIGINT in products" in " ".join(look.warnings)
    assert look.problems == []
    assert [column.name for column in look.joined[0].columns] == sorted(THEIRS.names)


REFUSED = [
    (SQL.replace("products.price", "products.cost"), {}, "cost", ("sources", 0, "name")),
    (SQL.replace("products.price", "products.Price"), {}, "Price", ("sources", 0, "name")),
    (SQL, {"on": {"sku": "p"}}, "sku", ("sources", 0, "name")),
    (SQL, {"on": {"p": "sku"}}, "sku", ("sources", 0, "on")),
    (SQL, {"on": {"price": "x"}}, "x is DOUBLE", ("sources", 0, "on")),
    (SQL, {"on": {"e": "q"}}, "q is VARCHAR", ("sources", 0, "on")),
    (SQL, {"theirs": "label"}, "not a timestamp", ("sources", 0, "name")),
    (SQL, {"path": "none.parquet"}, "no file matches", ("sources", 0, "name")),
]


@pytest.mark.parametrize(("sql", "more", "words", "path"), REFUSED)
def test_what_does_not_fit_is_refused_where_the_definition_names_it(
    tmp_path, sql, more, words, path
):
    write(tmp_path, [own_row()], [their_row(label="soon")])
    spec, where = make(tmp_path, sql=sql, **more)

    with pytest.raises(AssayError, match=words) as refused:
        computed(spec, where)

    assert tuple(refused.value.data["in_definition"]) == path
    if path[-1] == "name":
        assert refused.value.message.startswith("joined source products: ")


def test_a_column_called_as_a_joined_source_is_refused(tmp_path):
    schema = OWN.append(pa.field("Products", pa.string()))
    write_parquet(tmp_path, [own_row() | {"Products": "none"}], schema)
    write_parquet(tmp_path, [their_row()], THEIRS, name="products.parquet")

    with pytest.raises(AssayError, match="has a column 'Products'"):
        computed(*make(tmp_path))


def test_a_damaged_file_of_a_joined_source_is_named(tmp_path):
    write(tmp_path, [own_row()], [their_row()])
    (tmp_path / "products.parquet").write_bytes(b"PAR1 no more than that PAR1")

    with pytest.raises(AssayError, match=r"joined source products: .*products\.parquet"):
        computed(*make(tmp_path))


def test_a_look_that_sees_no_rows_reads_none_of_a_joined_source(tmp_path):
    write(tmp_path, [own_row()], [their_row(label="soon")])
    spec, where = make(tmp_path, theirs="label")

    (look,) = DuckDBEngine(LIMITS).look([spec], find_rows(spec, where), unseen=[0])

    assert look.problems == []
    assert look.rows is None


def as_text(rows):
    return [{k: None if v is None else str(v) for k, v in row.items()} for row in rows]


def write_csv(path, rows):
    with path.open("w", newline="") as file:
        lines = csv.DictWriter(file, list(rows[0]))
        lines.writeheader()
        lines.writerows(as_text(rows))


def write_lines(path, rows):
    path.write_text("\n".join(json.dumps(row) for row in as_text(rows)) + "\n")


WRITERS = {
    "csv": write_csv,
    "jsonl": write_lines,
    "parquet": lambda path, rows: write_parquet(path.parent, rows, THEIRS, name=path.name),
}


@pytest.mark.parametrize("own", ["csv", "jsonl"])
@pytest.mark.parametrize("theirs", ["csv", "jsonl", "parquet", "delta"])
def test_sources_of_any_format_join(tmp_path, own, theirs):
    rows = [their_row(price=2.0), their_row(p=2, price=3.0, hour=1, known=9)]
    WRITERS[own](tmp_path / f"rows.{own}", [own_row(hour=1), own_row(k=2, hour=2, p=2, known=9)])
    sql = SQL.replace("products.price * x", "CAST(products.price AS DOUBLE) * CAST(x AS DOUBLE)")
    spec, where = make(tmp_path, sql=sql, path=f"products.{theirs}")
    spec = msgspec.structs.replace(
        spec, source=msgspec.structs.replace(spec.source, path=f"rows.{own}")
    )
    if theirs == "delta":
        write_deltalake(tmp_path / "lake", pa.Table.from_pylist(rows, THEIRS))
        source = DeltaSource(
            name="products", path="lake", event_timestamp=TimeColumn(column="e"),
            created_timestamp=TimeColumn(column="c"),
        )  # fmt: skip
        spec = msgspec.structs.replace(spec, joined=(JoinedSource(source=source),))
    else:
        WRITERS[theirs](tmp_path / f"products.{theirs}", rows)

    table, _ = computed(spec, where)
    (look,) = DuckDBEngine(LIMITS).look([spec], find_rows(spec, where))

    assert {row["k"]: row["cost"] for row in table.to_pylist()} == {1: 2.0, 2: 3.0}
    assert look.problems == []


def test_two_joined_sources_are_found_apart(tmp_path):
    write(tmp_path, [own_row(hour=5)], [their_row(price=2.0)])
    write_parquet(tmp_path, [their_row(p=1, hour=3, price=7.0)], THEIRS, name="taxes.parquet")
    sql = SQL.replace("products.price * x", "products.price * taxes.price")
    spec, where = make(tmp_path, sql=sql)
    taxes = msgspec.structs.replace(
        spec.joined[0], source=msgspec.structs.replace(spec.joined[0].source, name="taxes",
                                                       path="taxes.parquet")
    )  # fmt: skip
    sources = (*spec.view.sources, SourceJoin(name="taxes", on={"code": "q"}))
    spec = msgspec.structs.replace(
        spec, view=msgspec.structs.replace(spec.view, sources=sources), joined=(*spec.joined, taxes)
    )

    table, _ = computed(spec, Wheres(where.own, (where.own, where.own)))

    assert table["cost"].to_pylist() == [14.0]


def test_names_of_any_kind_and_structs_are_joined(tmp_path):
    theirs = pa.schema([
        ('the "key"', pa.int64()), ("select", INSTANT), ("it's", pa.struct([("a b", pa.int64())])),
    ])  # fmt: skip
    write_parquet(tmp_path, [own_row(hour=5)], OWN)
    rows = [{'the "key"': 1, "select": T, "it's": {"a b": 6}}]
    write_parquet(tmp_path, rows, theirs, name="products.parquet")
    sql = """SELECT k, event, loaded, products."it's"."a b" AS price, 'x' AS label, 1 AS cost
             FROM rows"""
    spec, where = make(tmp_path, sql=sql, on={'the "key"': "p"}, theirs=None)
    source = msgspec.structs.replace(
        spec.joined[0].source, event_timestamp=TimeColumn(column="select")
    )
    spec = msgspec.structs.replace(spec, joined=(JoinedSource(source=source),))

    table, _ = computed(spec, where)

    assert table["price"].to_pylist() == [6.0]


def test_a_column_of_the_source_called_as_one_of_ours_stays_apart(tmp_path):
    schema = OWN.append(pa.field("joined__e", INSTANT)).append(pa.field("k0", pa.string()))
    write_parquet(tmp_path, [own_row(hour=5) | {"joined__e": T, "k0": "x"}], schema)
    rows = [their_row(price=2.0), their_row(price=3.0, hour=1, known=90)]
    write_parquet(tmp_path, rows, THEIRS, name="products.parquet")
    spec, where = make(tmp_path, sql=SQL.replace("products.label", "k0 || joined__e"))

    table, _ = computed(spec, where)

    assert table["price"].to_pylist() == [2.0]
    assert table["label"].to_pylist()[0].startswith("x2026-01-01")


def test_a_joined_source_without_rows_gives_nulls(tmp_path):
    write(tmp_path, [own_row(hour=5)], [])

    table, _ = computed(*make(tmp_path))

    assert table["price"].to_pylist() == [None]


def test_a_time_that_is_none_is_told_of_its_own_source(tmp_path):
    rows = [own_row(), own_row(k=2)]
    write_csv(tmp_path / "rows.csv", [row | {"event": "soon"} for row in rows])
    write_parquet(tmp_path, [their_row()], THEIRS, name="products.parquet")
    spec, where = make(tmp_path, on={"code": "q"})
    spec = msgspec.structs.replace(
        spec, source=msgspec.structs.replace(spec.source, path="rows.csv"),
        view=msgspec.structs.replace(spec.view, sql=spec.view.sql.replace(" * x", "")),
    )  # fmt: skip

    with pytest.raises(AssayError, match=r"rows\.csv, line 2: column .event.") as refused:
        computed(spec, where)

    assert "joined source" not in refused.value.message


def test_the_plan_says_what_few_rows_find_and_what_nobody_says(tmp_path):
    late = [their_row(known=1000), their_row(p=2, known=1000)]
    write(tmp_path, [own_row(k=n, hour=n) for n in range(9)], late)
    spec, where = make(tmp_path)
    engine = DuckDBEngine(LIMITS)

    (look,) = engine.look([spec], find_rows(spec, where))
    write(tmp_path, [own_row(hour=1), own_row(k=2, p=3)], [their_row()])
    (half,) = engine.look([spec], find_rows(spec, where))
    (unsaid,) = engine.look([make(tmp_path, theirs=None)[0]], find_rows(spec, where))

    assert "9 of 9 rows have none of products beside them: compare the keys" in str(look.warnings)
    assert "beside them" not in str(half.warnings)
    assert "joined source 'products' does not say when a row was known" in str(unsaid.warnings)


def test_a_source_that_is_cut_and_read_apart_gives_the_same_rows(tmp_path):
    dice = random.Random(3)
    own = [
        own_row(k=n, hour=dice.randrange(60), known=dice.choice([0, 4]), p=n % 3)
        for n in range(200)
    ]
    theirs = [
        their_row(p=n % 3, hour=dice.randrange(60), known=n % 7, price=float(n)) for n in range(90)
    ]
    write(tmp_path, own, theirs)
    spec, where = make(tmp_path)
    found, engine = find_rows(spec, where), DuckDBEngine(LIMITS)
    survey = engine.survey(SurveyJob(spec, found, END, None, 50, 20), watch=lambda _: None)
    ends = tuple(end for end, _ in survey.parts)
    staging = tmp_path / "staging"
    staging.mkdir()
    job = SplitJob(spec, found, None, ends, str(staging), sequence=1)

    split = engine.split(job, watch=lambda _: None)
    whole, _ = computed(spec, where)
    chunks = [
        computed_rows(engine, ComputeJob(spec, found, end, window_start=start))[0]
        for start, end in zip([None, *ends[:-1]], ends, strict=True)
    ]

    assert len(ends) > 2
    parts = pa.concat_tables(
        [pq.read_table(file) for part in split.parts for file in part.files]
    )  # fmt: skip
    assert given(parts) == given(pa.concat_tables(chunks)) == given(whole)


def test_a_row_is_read_once_more_for_each_joined_source_and_no_oftener(tmp_path):
    """Some of each became known late, so that what was known is asked of the rows."""
    write(tmp_path, [own_row(hour=9)], [])
    spec, where = make(tmp_path)
    names = [f"prices_{n}" for n in range(12)]
    write_parquet(
        tmp_path, [their_row(), their_row(hour=1, known=5)], THEIRS, name="prices.parquet"
    )
    sql = f"SELECT k, event, loaded, {' + '.join(f'{n}.price' for n in names)} AS cost, 1 AS price,"
    view = msgspec.structs.replace(
        spec.view, sql=f"{sql} 'x' AS label FROM rows",
        sources=tuple(SourceJoin(name=name, on={"p": "p"}) for name in names),
    )  # fmt: skip
    source = msgspec.structs.replace(spec.joined[0].source, path="prices.parquet")
    joined = (JoinedSource(source=msgspec.structs.replace(source, name=name)) for name in names)
    spec = msgspec.structs.replace(spec, view=view, joined=tuple(joined))
    where = Wheres(where.own, (where.own,) * len(names))
    connection = duckdb.connect()
    opening = Opening(connection, spec, find_rows(spec, where))

    opened = opening(find_rows(spec, where))

    assert opened.relation.count("rows.parquet") == len(names) + 1
    assert connection.sql(f"SELECT cost FROM {opened.relation}").fetchall() == [(12.0,)]
