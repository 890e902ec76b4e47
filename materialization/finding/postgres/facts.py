# ruff: noqa: S608 - names are quoted, the query was checked and written anew
"""What a PostgreSQL source is now: which tables it is made of, how large, with which columns.

Not for its rows (``reading``).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import TYPE_CHECKING

from materialization.errors import SourceRefused
from materialization.finding.postgres.columns import carry, literal, own_types
from registry.spec.remote_query import check_query, check_table, tables_named

if TYPE_CHECKING:
    from materialization.finding.postgres.columns import Carrying
    from materialization.finding.postgres.session import Session
    from registry.spec.sources.postgres import PostgresSource

#: A table that was filled anew has another file; of a partitioned one, and of a view, there is
#: none, and a view is what its text says.
_OF_TABLE = """
SELECT c.oid::int8, CASE WHEN c.relkind IN ('r', 'm') THEN c.relfilenode::int8 ELSE 0 END,
       CASE WHEN c.relkind = 'v' THEN md5(pg_get_viewdef(c.oid)) ELSE '' END
FROM pg_class AS c WHERE c.oid = {name}::regclass
"""
#: The driver says a type's name without its schema: one that is an enum in some is none.
_ENUMS = """
SELECT t.typname::text FROM pg_type AS t WHERE t.typname IN ({names})
GROUP BY 1 HAVING bool_and(t.typtype = 'e')
"""


def from_sql(source: PostgresSource) -> str:
    """Return what is read FROM: the table, or the query as it is written anew."""
    if source.query:
        return f"({check_query(source.query)}) AS q"
    return check_table(source.table)


def identity_of(session: Session, source: PostgresSource) -> str:
    """Return what is equal as long as the tables are the same ones, whatever their rows are."""
    names = tables_named(source.query) if source.query else (from_sql(source),)
    found = [session.run(_OF_TABLE.format(name=literal(name))) for name in sorted(names)]
    said = json.dumps([source.table, source.query, found], default=str)
    return hashlib.sha256(said.encode()).hexdigest()[:32]


def size_of(session: Session, source: PostgresSource) -> int:
    """Return about how many bytes all rows are, as the server plans with."""
    ((plan,),) = session.run(f"EXPLAIN (FORMAT JSON) SELECT * FROM {from_sql(source)}")
    top = json.loads(plan)[0]["Plan"]
    return int(top["Plan Rows"]) * int(top["Plan Width"])


def columns_of(session: Session, source: PostgresSource) -> Carrying:
    """Return how each column travels.

    :raises SourceRefused: two have one name.
    """
    schema = session.schema(f"SELECT * FROM {from_sql(source)} LIMIT 0")
    if twice := [name for name, count in Counter(schema.names).items() if count > 1]:
        raise SourceRefused(
            f"{source.name} has two columns called {twice[0]!r}; name the columns in a `query`."
        )
    enums = set()
    if names := {name.removeprefix("_") for name in own_types(schema)}:
        asked = ", ".join(map(literal, sorted(names)))
        enums = {name for (name,) in session.run(_ENUMS.format(names=asked))}
    return carry(schema, enums)
