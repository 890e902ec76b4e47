"""Which tests run on which database: everything on SQLite, and again on PostgreSQL what may differ.

On PostgreSQL run the tests that ask for a database: what they store, lock or order depends on it.
Left out are those that drive a server or a browser, whose statements other tests make too, and, of
cases that differ only in ``who`` asks, all but the first. A test that commits is never left out for
its ``who``. ``@pytest.mark.database("postgresql")`` says otherwise: there alone, or on those named.
The tables of doors (``project/test_pages``, ``test_permissions``) ask on PostgreSQL as those
people alone whose statements differ: without a role, with one, an owner, and whoever may all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from django.db import connection

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pytest

SQLITE, POSTGRESQL = "sqlite", "postgresql"
#: Fixtures by which a test asks for a database, and those with which its transactions commit.
ASKING = {"db", "transactional_db", "live_server"}
COMMITTING = {"transactional_db", "live_server"}
#: Marks of tests that have processes of their own, each with a database of its own.
STARTING = {"browser", "journey"}
#: Of the people of a table of doors those whose statements stand for all.
DIFFERING = {"outsider", "consumer", "owner", "superuser"}


class Case(NamedTuple):
    """What decides: the function, its parameters but ``who``, fixtures, marks, databases named."""

    function: str
    parameters: tuple[tuple[str, str], ...]
    asks: bool
    commits: bool
    starts: bool
    named: tuple[str, ...]


def case_of(item: pytest.Item) -> Case:
    fixtures = set(getattr(item, "fixturenames", ()))
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    asked, named = item.get_closest_marker("django_db"), item.get_closest_marker("database")
    commits = bool(fixtures & COMMITTING) or bool(asked and asked.kwargs.get("transaction"))
    return Case(
        item.nodeid.partition("[")[0],
        tuple((name, repr(value)) for name, value in parameters.items() if name != "who"),
        asks=bool(fixtures & ASKING) or asked is not None,
        commits=commits,
        starts=any(item.get_closest_marker(name) for name in STARTING),
        named=named.args if named else (),
    )


def runs_on(vendor: str, cases: Iterable[Case]) -> Iterator[bool]:
    """Say of each case, in order, whether it runs on the database of ``vendor``."""
    seen: set[tuple[str, tuple[tuple[str, str], ...]]] = set()
    for case in cases:
        if case.named:
            yield vendor in case.named
        elif vendor == SQLITE:
            yield True
        elif case.starts or not case.asks:
            yield False
        else:
            key = (case.function, case.parameters)
            yield case.commits or key not in seen
            seen.add(key)


def asking(people: Iterable[str], letters: str) -> dict[str, str]:
    """Return who of the people of a table's line asks on this database, with their letters."""
    line = dict(zip(people, letters, strict=True))
    if connection.vendor == SQLITE:
        return line
    return {name: letter for name, letter in line.items() if name in DIFFERING}
