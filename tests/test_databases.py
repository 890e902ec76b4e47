"""The rule by which PostgreSQL is left out: nothing that may differ there slips away."""

from __future__ import annotations

from tests.databases import POSTGRESQL, SQLITE, Case, case_of, runs_on

STORES = Case("test_it", (), asks=True, commits=False, starts=False, named=())


def on(vendor, *cases):
    return list(runs_on(vendor, cases))


def test_sqlite_runs_everything_but_what_is_named_for_the_other():
    assert on(SQLITE, STORES, STORES, STORES._replace(asks=False)) == [True, True, True]
    assert on(SQLITE, STORES._replace(named=(POSTGRESQL,))) == [False]


def test_postgresql_runs_what_asks_for_a_database_and_starts_no_server():
    assert on(POSTGRESQL, STORES, STORES._replace(asks=False)) == [True, False]
    assert on(POSTGRESQL, STORES._replace(starts=True)) == [False]
    assert on(POSTGRESQL, STORES._replace(starts=True, named=(SQLITE, POSTGRESQL))) == [True]


def test_of_cases_that_differ_in_who_asks_postgresql_runs_one():
    may, may_not = (STORES._replace(parameters=(("may", said),)) for said in ("True", "False"))
    other = STORES._replace(function="test_other")

    assert on(POSTGRESQL, may, may, may_not, other, may_not) == [True, False, True, True, False]


def test_what_commits_runs_whoever_asks():
    commits = STORES._replace(commits=True)

    assert on(POSTGRESQL, commits, commits) == [True, True]


def test_every_function_that_stores_runs_on_postgresql(request):
    """Of the tests collected with this one: of the whole suite, where that runs."""
    cases = [case_of(item) for item in request.session.items]
    runs = [case for case, chosen in zip(cases, on(POSTGRESQL, *cases), strict=True) if chosen]
    storing = [case for case in cases if case.asks and not case.starts]

    assert {case.function for case in storing} <= {case.function for case in runs}
    assert {case for case in storing if case.commits} <= set(runs)
