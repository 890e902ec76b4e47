"""The triggers that hold the rules of ``guards`` in the database: put there, taken away, looked at.

For the initial migration, and for whoever asks whether all of them are there still. Not for what
they refuse.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from registry import telling
from registry.guards.tables import GUARDS
from registry.telling import TELLINGS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.apps.registry import Apps
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor

    from registry.guards.tables import Guard
    from registry.guards.words import Rules
    from registry.telling import Telling

JSON_TEXT = re.compile(r"JSON_TEXT\((\S+), ([\w.]+)\)")
SAME_JSON = re.compile(r"SAME_JSON\((\S+), (\w+), (\S+)\)")
REPLACED = "a row that stays is never replaced"
EMPTIED = "assay_refuse_truncate"
#: ``pg_trigger.tgtype``: each row or none, before or after, and the events.
EACH_CHANGE, EACH_TRUNCATE = 1 + 2 + 4 + 8 + 16, 2 + 32
AFTER = {"UPDATE": 1 + 16, "DELETE": 1 + 8}

# --- SQLite --------------------------------------------------------------------------------------

# ``INSERT OR REPLACE`` and ``UPDATE OR REPLACE`` take out the rows they replace without asking any
# DELETE trigger, so both ask for themselves.


def _sqlite(table: str, guard: Guard) -> dict[str, str]:
    """Return the statement of each trigger by its name."""
    rules = [(event, refusal, words) for (event, refusal), words in guard.rules.items()]
    rules += [(event, REPLACED, words) for event, words in _replacing(table, guard).items()]
    return {
        f"{table}_rule_{number}": f"""CREATE TRIGGER {table}_rule_{number} BEFORE {event} ON {table}
            WHEN {_in_sqlite(words)}
            BEGIN SELECT RAISE(ABORT, '{refusal}'); END"""
        for number, (event, refusal, words) in enumerate(rules)
    }


def _in_sqlite(condition: str) -> str:
    condition = SAME_JSON.sub(r"json_extract(\1, '$.\2') = json(\3)", condition)
    return JSON_TEXT.sub(r"json_extract(\1, '$.\2')", condition)


def _replacing(table: str, guard: Guard) -> dict[str, str]:
    keys = [" AND ".join(f"x.{one} = NEW.{one}" for one in key) for key in guard.keys]
    same = " OR ".join(f"({key})" for key in ["x.id = NEW.id", *keys])
    taken = f"SELECT 1 FROM {table} x WHERE ({same}) AND NOT ({guard.replaceable})"  # noqa: S608
    return {
        "INSERT": f"EXISTS ({taken})",
        "UPDATE": f"EXISTS ({taken} AND x.id <> OLD.id)",
    }


# --- PostgreSQL ----------------------------------------------------------------------------------

# One function of a table has all its rules: a trigger's own WHEN may ask no other table. They fire
# ALWAYS: ``session_replication_role`` would pass plain ones by.


def _postgresql_body(rules: Rules) -> str:
    return f""" BEGIN {" ".join(_raise_if(*rule) for rule in rules.items())}
        RETURN coalesce(NEW, OLD); END """


def _raise_if(rule: tuple[str, str], condition: str) -> str:
    event, refusal = rule
    words = JSON_TEXT.sub(_json_path, SAME_JSON.sub(r"(\1 -> '\2') = \3", condition))
    return f"IF TG_OP = '{event}' THEN IF {words} THEN RAISE EXCEPTION '{refusal}'; END IF; END IF;"


def _json_path(found: re.Match[str]) -> str:
    return f"({found[1]} #>> '{{{found[2].replace('.', ',')}}}')"


BODIES = {f"{table}_check": _postgresql_body(guard.rules) for table, guard in GUARDS.items()} | {
    EMPTIED: """ BEGIN RAISE EXCEPTION
        USING MESSAGE = TG_TABLE_NAME || ' is append-only, and never emptied'; END """
}


def _postgresql(table: str) -> list[str]:
    return [
        f"""CREATE TRIGGER {table}_rules BEFORE INSERT OR UPDATE OR DELETE ON {table}
            FOR EACH ROW EXECUTE FUNCTION {table}_check()""",
        f"""CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION {EMPTIED}()""",
        f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_rules",
        f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_no_truncate",
    ]


# The tables that a function asks are ours, whatever path a session has: a schema of its own, or
# tables of its own that are gone when it ends, could have rows of the same names.
OURS = "OUR_SCHEMA"
PATH = f"SET search_path = pg_catalog, {OURS}, pg_temp"


def _schema(connection: BaseDatabaseWrapper) -> str:
    if connection.vendor != "postgresql":
        return ""
    with connection.cursor() as cursor:
        cursor.execute("SELECT quote_ident(current_schema())")
        return str(cursor.fetchone()[0])


# --- What readers hear of ------------------------------------------------------------------------

TOLD = {each.table for each in TELLINGS.values()}
TELLING_SQLITE = {name: telling.in_sqlite(name, each) for name, each in TELLINGS.items()}
BODIES |= {name: telling.body_in_postgresql(each) for name, each in TELLINGS.items()}


def _telling_in_postgresql(name: str, each: Telling) -> list[str]:
    return [
        f"""CREATE TRIGGER {name} AFTER {each.event} ON {each.table}
            FOR EACH ROW EXECUTE FUNCTION {name}()""",
        f"ALTER TABLE {each.table} ENABLE ALWAYS TRIGGER {name}",
    ]


TELLING_POSTGRESQL = [
    statement for name, each in TELLINGS.items() for statement in _telling_in_postgresql(name, each)
]
#: (trigger, table) → what PostgreSQL has of it: its events, that it is for all rows, its function.
EXPECTED: dict[tuple[str, str], tuple[int, bool, str]] = {
    **{(f"{each}_rules", each): (EACH_CHANGE, True, f"{each}_check") for each in GUARDS},
    **{(f"{each}_no_truncate", each): (EACH_TRUNCATE, True, EMPTIED) for each in GUARDS},
    **{(name, each.table): (AFTER[each.event], True, name) for name, each in TELLINGS.items()},
}

# --- Both ----------------------------------------------------------------------------------------

#: Of SQLite: name → statement.
TRIGGERS = {name: sql for each in GUARDS.items() for name, sql in _sqlite(*each).items()}
STATEMENTS = {
    "sqlite": [*TRIGGERS.values(), *TELLING_SQLITE.values()],
    "postgresql": [
        *(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql {PATH} AS $${body}$$"
            for name, body in BODIES.items()
        ),
        *(statement for table in GUARDS for statement in _postgresql(table)),
        *TELLING_POSTGRESQL,
    ],
}
REMOVAL = {
    "sqlite": [f"DROP TRIGGER IF EXISTS {name}" for name in (*TRIGGERS, *TELLINGS)],
    "postgresql": [f"DROP FUNCTION IF EXISTS {name}() CASCADE" for name in BODIES],
}


def create(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Create the triggers for the database at hand.

    :raises KeyError: for a database the trail cannot be guarded on.
    """
    for statement in statements(schema_editor.connection):
        schema_editor.execute(statement)


def statements(connection: BaseDatabaseWrapper) -> list[str]:
    """Return what puts the triggers into a database, in the schema that it works in.

    :raises KeyError: for a database the trail cannot be guarded on.
    """
    schema = _schema(connection)
    return [statement.replace(OURS, schema) for statement in STATEMENTS[connection.vendor]]


def drop(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Remove the triggers, before the migration's reversal drops the tables."""
    for statement in REMOVAL[schema_editor.connection.vendor]:
        schema_editor.execute(statement)


# --- Whether they are there ----------------------------------------------------------------------


def faults(connection: BaseDatabaseWrapper) -> Iterator[str]:
    """Say of each trigger that is not there, off, or another than ours; and of each that is more.

    :raises KeyError: for a database the trail cannot be guarded on.
    """
    yield from _FAULTS[connection.vendor](connection)


def _sqlite_faults(connection: BaseDatabaseWrapper) -> Iterator[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, sql, tbl_name FROM sqlite_master WHERE type = 'trigger'")
        found = {name: (sql, table) for name, sql, table in cursor.fetchall()}
    own_of = {table: _sqlite(table, guard) for table, guard in GUARDS.items()}
    for name, each in TELLINGS.items():
        own_of[each.table] = own_of.get(each.table, {}) | {name: TELLING_SQLITE[name]}
    for table, own in own_of.items():
        if own.keys().isdisjoint(found):
            yield f"the triggers of {table} are missing"
            continue
        for name, sql in own.items():
            if name not in found:
                yield f"the trigger {name} is missing"
            elif found.pop(name)[0] != sql:
                yield f"the trigger {name} is not the one that was made"
    known = {*TRIGGERS, *TELLING_SQLITE}
    yield from _more({name: table for name, (_, table) in found.items() if name not in known})


def _postgresql_faults(connection: BaseDatabaseWrapper) -> Iterator[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT t.tgname, t.tgenabled, t.tgtype, t.tgqual IS NULL, c.relname, p.proname,
                p.prosrc, p.proconfig FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
                JOIN pg_proc p ON p.oid = t.tgfoid
                WHERE NOT t.tgisinternal AND pg_table_is_visible(c.oid)"""
        )
        found = {(row[0], row[4]): row[1:] for row in cursor.fetchall()}
    path = PATH.removeprefix("SET ").replace(" = ", "=").replace(OURS, _schema(connection))
    for (name, table), (kind, is_plain, function) in EXPECTED.items():
        if (name, table) not in found:
            yield f"the trigger {name} is missing"
            continue
        enabled, *made = found.pop((name, table))
        if enabled != "A":
            yield f"the trigger {name} is off"
        if made != [kind, is_plain, table, function, BODIES[function], [path]]:
            yield f"the trigger {name} is not the one that was made"
    yield from _more(dict(list(found)))
    yield from _passed_by(connection)


def _passed_by(connection: BaseDatabaseWrapper) -> Iterator[str]:
    """Rules rewrite a statement before any trigger sees it; policies hide rows from it."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT 'rule ' || rulename, tablename FROM pg_rules
                WHERE schemaname = current_schema() UNION ALL
                SELECT 'policy ' || policyname, tablename FROM pg_policies
                WHERE schemaname = current_schema() UNION ALL
                SELECT 'row security', relname FROM pg_class
                WHERE relrowsecurity AND relnamespace = current_schema()::regnamespace"""
        )
        for what, table in cursor.fetchall():
            if table in GUARDS:
                yield f"the {what} on {table} is none of ours"


def _more(found: dict[str, str]) -> Iterator[str]:
    """A trigger of somebody else's could undo what is written beside it."""
    for name, table in found.items():
        if table in GUARDS or table in TOLD:
            yield f"the trigger {name} on {table} is none of ours"


_FAULTS = {"sqlite": _sqlite_faults, "postgresql": _postgresql_faults}
