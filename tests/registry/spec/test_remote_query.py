"""The SELECT that a source of another database may be."""

from __future__ import annotations

import pytest

from registry.spec.remote_query import check_query, tables_named
from registry.spec.row_sql import BadSql


@pytest.mark.parametrize(
    ("sql", "canonical", "tables"),
    [
        ("select a, b as c from t -- all", "SELECT a, b AS c FROM t", ("t",)),
        (
            "select * from sales.purchases p join users u using (id)",
            "SELECT * FROM sales.purchases AS p JOIN users AS u USING (id)",
            ("sales.purchases", "users"),
        ),
        (
            "with x as (select a from t) select * from x",
            "WITH x AS (SELECT a FROM t) SELECT * FROM x",
            ("t",),
        ),
        (
            "select distinct on (a) a, b from t order by a, b desc",
            "SELECT DISTINCT ON (a) a, b FROM t ORDER BY a, b DESC",
            ("t",),
        ),
        (
            "select a::numeric(18,2), data->>'k' as k from t",
            "SELECT CAST(a AS DECIMAL(18, 2)), data ->> 'k' AS k FROM t",
            ("t",),
        ),
        (
            "select a from t union all select b from u",
            "SELECT a FROM t UNION ALL SELECT b FROM u",
            ("t", "u"),
        ),
        (
            "select a, count(*) filter (where x), sum(y) over (partition by a order by b) from t"
            " group by 1",
            "SELECT a, COUNT(*) FILTER(WHERE x), SUM(y) OVER (PARTITION BY a ORDER BY b) FROM t"
            " GROUP BY 1",
            ("t",),
        ),
        (
            'select "user", t.user, tableoid::oid from t'
            " where s <> 'now'::text and 'see now' <> s"
            " and d->>'now' like 'today'",
            'SELECT "user", t.user, CAST(tableoid AS OID) FROM t'
            " WHERE s <> CAST('now' AS TEXT) AND 'see now' <> s"
            " AND d ->> 'now' LIKE 'today'",
            ("t",),
        ),
        ('select "A b" from "My Table"', 'SELECT "A b" FROM "My Table"', ('"My Table"',)),
    ],
)
def test_it_may_join_group_and_sort(sql, canonical, tables):
    assert check_query(sql) == canonical
    assert check_query(canonical) == canonical
    assert tables_named(canonical) == tables


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("delete from t", "exactly one SELECT"),
        ("select 1; select 2", "exactly one SELECT"),
        ("copy t to '/x'", "exactly one SELECT"),
        ("values (1)", "exactly one SELECT"),
        ("with d as (delete from t returning *) select * from d", "not allowed here"),
        ("select a into b from t", "changes or locks"),
        ("select * from t for update", "changes or locks"),
        ("select pg_sleep(5)", "not on the list"),
        ("select pg_catalog.pg_sleep(5)", "not on the list"),
        ("select pg_read_file('/etc/passwd')", "not on the list"),
        ("select * from dblink('x', 'y') as t(a int)", "not on the list"),
        ("select query_to_xml('x', true, true, '')", "not on the list"),
        ("select set_config('a', 'b', false)", "not on the list"),
        ("select nextval('s')", "not on the list"),
        ("select now()", "not on the list"),
        ("select current_date", "not on the list"),
        ("select a from t order by random()", "not on the list"),
        ("select current_user", "not on the list"),
        ("select version()", "not on the list"),
        ("select * from generate_series(1, 1000000000) g", "not on the list"),
        ("select * from pg_stat_activity", "server's own"),
        ("select * from information_schema.tables", "server's own"),
        ("select * from pg_temp_3.t", "server's own"),
        ("select user as u from t", "'user' alone is a function of the server"),
        ("select a from t where b = System_User", "alone is a function of the server"),
        ("select current_role from t", "alone is a function of the server"),
        ("select * from user", "alone is a function of the server"),
        ("select 10::regrole::text from t", "the server's own catalog"),
        ("select tableoid::pg_catalog.regclass::text from t", "the server's own catalog"),
        ("select 'now'::timestamptz from t", "is the clock where a time is meant"),
        ("select date 'today' from t", "is the clock"),
        ("select a from t where b > 'yesterday'", "is the clock"),
        ("select cast(('Tomorrow 10:00 UTC'::text) as timestamp) from t", "is the clock"),
        ("select * from other.public.t", "another database"),
        ("select $1", "not allowed here"),
        ("select * from t tablesample system (1)", "not allowed here"),
        ("select (", "cannot be parsed"),
        ("select " + "(" * 3000 + "1" + ")" * 3000, "nested too deeply"),
        ("select '" + "x" * 20_001 + "'", "at most 20000"),
    ],
)
def test_what_reads_more_than_tables_of_data_is_refused(sql, why):
    with pytest.raises(BadSql, match=why):
        check_query(sql)
