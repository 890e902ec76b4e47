"""The SQL a view may have: an allow-list, and a canonical text that means the same."""

from __future__ import annotations

import re

import duckdb
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from registry.spec.row_sql import (
    MAX_LENGTH,
    BadSql,
    check_expression,
    check_row_sql,
)
from registry.spec.sql_functions import BARE_FUNCTIONS, NAMED_FUNCTIONS
from registry.spec.sql_times import days_moved


def check(sql: str) -> str:
    return check_row_sql(sql, source="s")


@pytest.mark.parametrize(
    ("sql", "canonical"),
    [
        ("select a from s", "SELECT a FROM s"),
        ("SELECT * FROM s -- all of it", "SELECT * FROM s"),
        ("FROM s SELECT a, b;", "SELECT a, b FROM s"),
        ("SELECT * EXCLUDE (a) FROM s", "SELECT * EXCLUDE (a) FROM s"),
        ("SELECT * REPLACE (a+1 AS a) FROM s", "SELECT * REPLACE (a + 1 AS a) FROM s"),
        ("SELECT t.a FROM s AS t WHERE t.b>0", "SELECT t.a FROM s AS t WHERE t.b > 0"),
        ("SELECT a/b AS r FROM s", "SELECT a / b AS r FROM s"),
        ("SELECT a::decimal(10,2) AS d FROM s", "SELECT CAST(a AS DECIMAL(10, 2)) AS d FROM s"),
        ("SELECT try_cast(a AS int) AS i FROM s", "SELECT TRY_CAST(a AS INT) AS i FROM s"),
        ("SELECT coalesce(a, 0) AS a FROM s", "SELECT COALESCE(a, 0) AS a FROM s"),
        (
            "SELECT if(a > 1, 'x', 'y') AS c FROM s",
            "SELECT CASE WHEN a > 1 THEN 'x' ELSE 'y' END AS c FROM s",
        ),
        (
            "SELECT a FROM s WHERE a BETWEEN 1 AND 2 AND b NOT IN ('x') OR c IS NULL",
            "SELECT a FROM s WHERE a BETWEEN 1 AND 2 AND NOT b IN ('x') OR c IS NULL",
        ),
        ("SELECT lower(a)||'x' AS t FROM s", "SELECT LOWER(a) || 'x' AS t FROM s"),
        ("SELECT a ILIKE '%x%' AS t FROM s", "SELECT a ILIKE '%x%' AS t FROM s"),
        ("SELECT log2(a) AS t FROM s", "SELECT LOG2(a) AS t FROM s"),
        ("SELECT a ~ 'x' AS t FROM s", "SELECT REGEXP_MATCHES(a, 'x') AS t FROM s"),
        ("SELECT regexp_matches(a,'x') AS t FROM s", "SELECT REGEXP_MATCHES(a, 'x') AS t FROM s"),
        ("SELECT strip_accents(a) AS t FROM s", "SELECT STRIP_ACCENTS(a) AS t FROM s"),
        ("SELECT date_trunc('day', t) AS d FROM s", "SELECT DATE_TRUNC('DAY', t) AS d FROM s"),
        ("SELECT t - INTERVAL 1 DAY AS d FROM s", "SELECT t - INTERVAL '1' DAY AS d FROM s"),
        (
            "SELECT extract('hour' FROM t) AS h FROM s",
            "SELECT EXTRACT('hour' FROM t) AS h FROM s",
        ),
        ("SELECT t AT TIME ZONE 'UTC' AS u FROM s", "SELECT t AT TIME ZONE 'UTC' AS u FROM s"),
        ("SELECT a[1] AS x, a[1:2] AS y FROM s", "SELECT a[1] AS x, a[1:2] AS y FROM s"),
        ("SELECT [a, b] AS l FROM s", "SELECT [a, b] AS l FROM s"),
        ("SELECT len(l) AS n, list_sum(l) AS t FROM s", None),
        ("SELECT len(list_distinct(l)) AS n, list_sort(list_distinct(l)) AS t FROM s", None),
        ("SELECT list_aggregate(l, 'median') AS m FROM s", None),
        ("SELECT repeat('ab', 3) AS a, lpad(b, 10, '0') AS b, list_resize(l, 5) AS c FROM s", None),
        ("SELECT printf('%05.2f', a) AS a, format('{:.2f} {}', a, b) AS b FROM s", None),
        ("SELECT CAST(l AS FLOAT[3]) AS l, CAST(d AS DECIMAL(38, 10)) AS d FROM s", None),
        ("SELECT " + "replace(" * 12 + "a" + ", 'Jan', 'January')" * 12 + " AS x FROM s", None),
        ("SELECT j->>'$.x' AS x FROM s", "SELECT j ->> '$.x' AS x FROM s"),
        ("SELECT {'k': a}.k AS x FROM s", "SELECT {'k': a}.k AS x FROM s"),
        ("SELECT a AS \"Odd Name\" FROM s", 'SELECT a AS "Odd Name" FROM s'),
    ],
)  # fmt: skip
def test_what_is_allowed_and_how_it_is_written_anew(sql, canonical):
    text = check(sql)

    assert canonical is None or text == canonical
    assert check(text) == text


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        # not one SELECT over the source
        ("", "exactly one SELECT"),
        ("SELECT a FROM s; SELECT 1", "exactly one SELECT"),
        ("DROP TABLE s", "exactly one SELECT"),
        ("COPY s TO 'x.csv'", "exactly one SELECT"),
        ("ATTACH 'x.db'", "exactly one SELECT"),
        ("PRAGMA database_list", "exactly one SELECT"),
        ("SELECT a FROM s UNION SELECT a FROM s", "exactly one SELECT"),
        ("SELECT a FROM", "cannot be parsed: something is missing near 'FROM', line 1, column 13."),
        ("SELECT a FROM s WHERE", "cannot be parsed: something is missing near 'WHERE', line 1"),
        ("SELECT a b c FROM s", "cannot be parsed: invalid expression near 'c', line 1, column 12"),
        ("SELECT 'a FROM s", "a quote or comment is not closed"),
        ("SELECT a FROM s ORDER BY a LIMIT 1", "LIMIT, ORDER BY are not row-wise"),
        ("{:}", "cannot be parsed: it is malformed"),
        ("SELECT 1 AS x", "FROM s and from nothing else"),
        # other tables, files, table functions
        ("SELECT a FROM other", "only table is the source"),
        ("SELECT a FROM main.s", "only table is the source"),
        ("SELECT * FROM 'secrets.parquet'", "only table is the source"),
        ('SELECT * FROM "secrets.parquet"', "only table is the source"),
        ("SELECT * FROM read_csv('/etc/passwd')", "not on the list"),
        ("SELECT * FROM read_text('/etc/passwd')", "not on the list"),
        ("SELECT * FROM glob('*')", "not on the list"),
        ("SELECT * FROM duckdb_settings()", "not on the list"),
        ("SELECT a FROM s, s AS t", "JOIN is not row-wise"),
        ("SELECT a FROM s JOIN s AS t ON true", "JOIN is not row-wise"),
        ("SELECT a FROM (SELECT 1 AS a) AS s", "is not allowed"),
        ("WITH s AS (SELECT 1 AS a) SELECT a FROM s", "WITH is not row-wise"),
        ("SELECT a FROM s WHERE a IN (SELECT 1)", "is not allowed"),
        ("SELECT exists(SELECT 1) AS x FROM s", "not on the list"),
        ("SELECT array(SELECT 1) AS x FROM s", "from nothing else"),
        # several rows
        ("SELECT count(*) AS n FROM s", "use `aggregations`"),
        ("SELECT max(a) AS m FROM s", "use `aggregations`"),
        ("SELECT sum(a) OVER () AS n FROM s", "use `aggregations`"),
        ("SELECT lag(a) OVER (ORDER BY b) AS n FROM s", "use `aggregations`"),
        ("SELECT histogram(a) AS n FROM s", "not on the list"),
        ("SELECT DISTINCT a FROM s", "DISTINCT is not row-wise"),
        ("SELECT a FROM s ORDER BY a", "ORDER BY is not row-wise"),
        ("SELECT a FROM s GROUP BY a", "GROUP BY is not row-wise"),
        ("SELECT a FROM s LIMIT 1", "LIMIT is not row-wise"),
        ("SELECT a FROM s QUALIFY row_number() OVER () = 1", "QUALIFY is not row-wise"),
        ("SELECT a FROM s TABLESAMPLE 10%", "is not allowed"),
        ("SELECT unnest(l) AS x FROM s", "not on the list"),
        ("SELECT generate_series(1, 3) AS x FROM s", "not on the list"),
        # the moment, chance, the server
        ("SELECT now() AS t FROM s", "not on the list"),
        ("SELECT current_timestamp AS t FROM s", "not on the list"),
        ("SELECT today() AS t FROM s", "not on the list"),
        ("SELECT age(t) AS a FROM s", "not on the list"),
        ("SELECT random() AS x FROM s", "not on the list"),
        ("SELECT uuid() AS x FROM s", "not on the list"),
        ("SELECT version() AS x FROM s", "not on the list"),
        ("SELECT current_user AS x FROM s", "not on the list"),
        ('SELECT "current_timestamp" AS t FROM s', 'write "s"."current_timestamp"'),
        ('SELECT a FROM s AS r WHERE "Current_Date" > t', 'write "r"."Current_Date"'),
        ("SELECT user AS x FROM s", "'user' alone is a function"),
        ('SELECT upper(("session_user")) AS x FROM s', "'session_user' alone is a function"),
        ('SELECT * REPLACE ("localtime" AS a) FROM s', "'localtime' alone is a function"),
        ("SELECT getenv('HOME') AS x FROM s", "not on the list"),
        ("SELECT current_setting('threads') AS x FROM s", "not on the list"),
        ("SELECT nextval('q') AS x FROM s", "not on the list"),
        ("SELECT query('SELECT 1') AS x FROM s", "not on the list"),
        ("SELECT write_log('x') AS x FROM s", "not on the list"),
        # what the engine, the platform or a language decides
        ("SELECT hash(a) AS x FROM s", "write md5(…) or sha256(…)"),
        ("SELECT format_bytes(a) AS x FROM s", "not on the list"),
        ("SELECT parse_path(a, 'system') AS x FROM s", "not on the list"),
        ("SELECT json_structure(a) AS x FROM s", "not on the list"),
        ("SELECT a COLLATE de AS x FROM s", "by a language"),
        ("SELECT a FROM s WHERE a COLLATE NOCASE = 'x'", "by a language"),
        ("SELECT list_distinct(l) AS x FROM s", "in no order"),
        ("SELECT list_intersect(l, m)[1] AS x FROM s", "in no order"),
        ("SELECT list_aggregate(l, 'approx_quantile', 0.5) AS x FROM s", "aggregates a list by"),
        ("SELECT list_aggregate(l, 'reservoir_quantile') AS x FROM s", "aggregates a list by"),
        ("SELECT list_aggregate(l, f) AS x FROM s", "aggregates a list by"),
        # sizes
        ("SELECT repeat('x', 1000000000) AS x FROM s", "a size of 1000000000; at most 1000"),
        ("SELECT repeat('x', n) AS x FROM s", "not a whole number written out"),
        ("SELECT repeat('x', 1000 * 1000) AS x FROM s", "not a whole number written out"),
        ("SELECT repeat(repeat(repeat(a, 999), 999), 999) AS x FROM s", "too great"),
        ("SELECT repeat(lower(repeat(repeat(a, 999) || 'y', 999)), 999) AS x FROM s", "too great"),
        ("SELECT lpad(a, 100000, 'x') AS x FROM s", "at most 1000"),
        ("SELECT rpad(a, n, 'x') AS x FROM s", "not a whole number written out"),
        ("SELECT list_resize(l, 1000000) AS x FROM s", "at most 1000"),
        ("SELECT list_resize(l, n) AS x FROM s", "not a whole number written out"),
        ("SELECT to_base(a, 2, 1000000) AS x FROM s", "at most 1000"),
        ("SELECT printf('%1000000000d', a) AS x FROM s", "has a width"),
        ("SELECT printf('%*d', a, 5) AS x FROM s", "has a width"),
        ("SELECT printf(b, a) AS x FROM s", "not a constant"),
        ("SELECT format('{:>1000000}', a) AS x FROM s", "has a width"),
        ("SELECT format('{:>{}}', a, 5) AS x FROM s", "has a width"),
        ("SELECT bar(a, 0, 1, 1000000) AS x FROM s", "not on the list"),
        ("SELECT damerau_levenshtein(a, b) AS x FROM s", "not on the list"),
        ("SELECT CAST(NULL AS INT[100000]) AS x FROM s", "at most 1000"),
        ("SELECT " + "replace(" * 7 + "a" + ", 'a', 'aaaaaaaaaa')" * 7 + " AS x FROM s", "fewer"),
        # what hides meaning
        ("SELECT COLUMNS('a.*') FROM s", "not on the list"),
        ("SELECT list_transform(l, x -> x + 1) AS y FROM s", "not on the list"),
        ("SELECT [x FOR x IN l] AS y FROM s", "is not allowed"),
        ("SELECT $1 AS x FROM s", "is not allowed"),
        ("SELECT a + 1 FROM s", "a name with AS"),
        ("SELECT a FROM s WHERE " + "(" * 3000 + "a" + ")" * 3000, "nested too deeply"),
        ("SELECT a AS " + "x" * MAX_LENGTH + " FROM s", "at most 20000"),
    ],
)  # fmt: skip
def test_what_is_refused_and_why(sql, says):
    with pytest.raises(BadSql, match=re.escape(says)):
        check(sql)


def test_each_named_function_is_one_that_duckdb_calls_consistent():
    consistent = duckdb.sql(
        "SELECT function_name FROM duckdb_functions() WHERE function_type IN ('scalar', 'macro')"
        " AND coalesce(stability, 'CONSISTENT') = 'CONSISTENT'"
    )

    assert {name for (name,) in consistent.fetchall()} >= NAMED_FUNCTIONS


#: What is no function and no keyword but might name something all the same.
OTHER_WORDS = ("rowid", "filename", "file_row_number", "file_index", "ordinality")


def accepted(sql: str) -> str | None:
    try:
        return check(sql)
    except BadSql:
        return None


def answers(sql: str) -> bool:
    """Tell whether DuckDB runs the SQL over a source with the column ``a`` and no other."""
    try:
        duckdb.execute(f"WITH s AS (SELECT 1 AS a) {sql}").fetchall()
    except duckdb.Error:
        return False
    return True


def test_no_accepted_name_means_anything_without_a_column_of_that_name():
    words = {
        word
        for (word,) in duckdb.sql(
            "SELECT function_name FROM duckdb_functions()"
            " UNION SELECT keyword_name FROM duckdb_keywords()"
            " UNION SELECT name FROM duckdb_settings()"
        ).fetchall()
        if re.fullmatch(r"\w+", word)
    }
    names = [
        form
        for word in {*words, *BARE_FUNCTIONS, *OTHER_WORDS}
        for form in (word, f'"{word}"', f's."{word}"')
    ]
    canonical = (accepted(f"SELECT {name} AS x FROM s") for name in names)

    found = [sql for sql in canonical if sql is not None and answers(sql)]

    literals = {f"SELECT {word} AS x FROM s" for word in ("NULL", "TRUE", "FALSE")}
    assert set(found) == literals


@pytest.mark.parametrize("name", ["user", "current_date", "localtimestamp"])
def test_a_qualified_name_is_the_column_or_nothing(name):
    sql = check(f'SELECT s."{name}" AS x FROM s')

    assert duckdb.execute(f'WITH s AS (SELECT 7 AS "{name}") {sql}').fetchall() == [(7,)]
    assert not answers(sql)


LEAVES = st.sampled_from(["a", "b", "s.a", "1", "-2.5", "1e3", "'x'", "'it''s'", "NULL", "TRUE"])
FORMS = [
    "({0})", "{0} + {1}", "{0} - {1}", "{0} * {1}", "{0} / {1}", "{0} % {1}", "{0} // {1}",
    "{0} || {1}", "-{0}", "NOT {0}", "{0} AND {1}", "{0} OR {1}", "{0} = {1}", "{0} <> {1}",
    "{0} < {1}", "{0} IS NULL", "{0} IS NOT NULL", "{0} IS DISTINCT FROM {1}", "{0} IN ({1}, 2)",
    "{0} BETWEEN {1} AND 9", "{0} LIKE {1}", "coalesce({0}, {1})", "nullif({0}, {1})",
    "CASE WHEN {0} THEN {1} END", "CASE {0} WHEN 1 THEN {1} ELSE 2 END", "CAST({0} AS VARCHAR)",
    "{0}::DOUBLE", "TRY_CAST({0} AS TIMESTAMP)", "abs({0})", "lower({0})", "strip_accents({0})",
    "substring({0}, 1, 2)", "date_trunc('day', {0})", "{0} + INTERVAL 1 DAY", "[{0}, {1}]",
    "[{0}][1]", "{{'k': {0}}}", "{0} ->> '$.x'", "greatest({0}, {1})", "round({0}, 2)",
    "if({0}, {1}, 0)", "concat({0}, {1})", "regexp_matches({0}, 'x')", "epoch_ms({0})",
]  # fmt: skip
EXPRESSIONS = st.recursive(
    LEAVES,
    lambda inner: st.builds(str.format, st.sampled_from(FORMS), inner, inner),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def rows():
    """A small table ``s``, and what a SELECT over it gives; None where it fails."""
    connection = duckdb.connect()
    connection.execute(
        "CREATE TABLE s AS FROM (VALUES (1, 'x'), (-3, NULL), (NULL, '2026-01-01')) t(a, b)"
    )

    def result(sql: str) -> str | None:
        try:
            return repr(connection.execute(sql).fetchall())
        except duckdb.Error:
            return None

    return result


@settings(max_examples=300)
@given(projection=EXPRESSIONS, condition=EXPRESSIONS)
def test_canonical_text_means_the_same_and_is_a_fixed_point(rows, projection, condition):
    sql = f"SELECT {projection} AS x, a FROM s WHERE {condition}"
    try:
        text = check(sql)
    except BadSql:
        assume(False)

    assert check(text) == text
    assume((given := rows(sql)) is not None)
    assert rows(text) == given


@settings(max_examples=300)
@given(st.text(alphabet="selectfromwhr *'\"(),.;-=<>[]{}$?:|abs19\\/_ \n", max_size=80))
def test_any_text_is_canonical_or_refused(text):
    try:
        canonical = check(text)
    except BadSql:
        return
    assert check(canonical) == canonical


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("a b c > 1", "near 'c', column 5."),
        ("a >\n b c d", "line 2, column 6."),
        ("a >", "at its end."),
    ],
)
def test_a_place_in_an_expression_is_one_in_what_its_author_wrote(sql, said):
    with pytest.raises(BadSql) as refused:
        check_expression(sql)

    assert said in str(refused.value)


def test_two_expressions_by_brackets_that_are_ours_are_refused():
    with pytest.raises(BadSql, match="write one scalar expression"):
        check_expression("x > 0) AS y, (z")


@pytest.mark.parametrize(
    ("sql", "days"),
    [
        ("SELECT paid FROM s", 0),
        ("SELECT s.paid FROM s", 0),
        ("SELECT paid AS paid FROM s", 0),
        ("SELECT * FROM s", 0),
        ("SELECT s.*, x AS y FROM s", 0),
        ("SELECT * EXCLUDE (x) FROM s", 0),
        ("SELECT * EXCLUDE (paid) FROM s", None),
        ("SELECT * REPLACE (paid + INTERVAL 1 DAY AS paid) FROM s", None),
        ("SELECT paid + INTERVAL 1 DAY AS paid FROM s", None),
        ("SELECT x AS paid FROM s", None),
        ("SELECT s.x.paid FROM s", None),
        ("SELECT x FROM s", None),
        ("SELECT PAID FROM s", 0),
        ("SELECT S.Paid FROM s", 0),
        ("SELECT R.paid AS Paid FROM s AS r", 0),
        ("SELECT * EXCLUDE (Paid) FROM s", None),
        ("SELECT * REPLACE (paid AS loaded) FROM s", 0),
        ("SELECT * RENAME (paid AS loaded) FROM s", None),
        ("SELECT * RENAME (loaded AS paid) FROM s", None),
        ("SELECT *, x AS paid FROM s", None),
        ("SELECT paid::TIMESTAMPTZ AS paid FROM s", 1),
        ("SELECT CAST(paid AS TIMESTAMP) AS paid FROM s", 1),
        ("SELECT s.paid AT TIME ZONE 'UTC' AS Paid FROM s", 1),
        ("SELECT (paid AT TIME ZONE 'UTC') AT TIME ZONE 'Asia/Manila' AS paid FROM s", 2),
        ("SELECT CAST(paid AT TIME ZONE 'Asia/Manila' AS DATE) AS paid FROM s", 3),
        ("SELECT * REPLACE (paid::TIMESTAMPTZ AS paid) FROM s", 1),
        ("SELECT paid AT TIME ZONE zone AS paid FROM s", None),
        ("SELECT date_trunc('hour', paid) AS paid FROM s", 1),
        ("SELECT * REPLACE (datetrunc('Month', paid::TIMESTAMP) AS paid) FROM s", 32),
        ("SELECT date_trunc('century', paid) AS paid FROM s", None),
        ("SELECT date_trunc(unit, paid) AS paid FROM s", None),
        ("SELECT date_trunc('day', x) AS paid FROM s", None),
        ("SELECT timezone('Asia/Manila', paid) AS paid FROM s", 1),
        ("SELECT Timezone(zone, paid) AS paid FROM s", None),
        ("SELECT TRY_CAST(paid AS TIMESTAMP) AS paid FROM s", None),
        ("SELECT paid::VARCHAR::TIMESTAMP AS paid FROM s", None),
        ("SELECT x::TIMESTAMPTZ AS paid FROM s", None),
        ("SELECT coalesce(x, paid) AS paid FROM s", None),
    ],
)
def test_how_far_a_time_is_from_that_of_the_source(sql, days):
    assert days_moved(check_row_sql(sql, source="s"), "paid") == days
