"""Database triggers that make the audit trail append-only, for the initial migration.

UPDATE and DELETE are refused row by row; on SQLite an INSERT over an existing id too (``INSERT OR
REPLACE`` passes DELETE triggers by), on PostgreSQL TRUNCATE (which passes row triggers by).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.apps.registry import Apps
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor

TABLE = "registry_auditentry"
REFUSAL = "audit entries are append-only"

SQLITE = [
    f"""CREATE TRIGGER {TABLE}_no_{event.lower()} BEFORE {event} ON {TABLE}
        BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"""
    for event in ("UPDATE", "DELETE")
] + [
    f"""CREATE TRIGGER {TABLE}_no_replace BEFORE INSERT ON {TABLE}
        WHEN EXISTS (SELECT 1 FROM {TABLE} WHERE id = NEW.id OR hash = NEW.hash)
        BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"""  # noqa: S608 - a constant table name
]
POSTGRESQL = [
    f"""CREATE OR REPLACE FUNCTION {TABLE}_refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION '{REFUSAL}'; END $$""",
    f"""CREATE TRIGGER {TABLE}_no_change BEFORE UPDATE OR DELETE ON {TABLE}
        FOR EACH ROW EXECUTE FUNCTION {TABLE}_refuse()""",
    f"""CREATE TRIGGER {TABLE}_no_truncate BEFORE TRUNCATE ON {TABLE}
        FOR EACH STATEMENT EXECUTE FUNCTION {TABLE}_refuse()""",
]
STATEMENTS = {"sqlite": SQLITE, "postgresql": POSTGRESQL}
REMOVAL = {
    "sqlite": [f"DROP TRIGGER {TABLE}_no_{event}" for event in ("update", "delete", "replace")],
    "postgresql": [f"DROP FUNCTION {TABLE}_refuse() CASCADE"],
}


def create(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Create the triggers for the database at hand.

    :raises KeyError: for a database the trail cannot be guarded on.
    """
    for statement in STATEMENTS[schema_editor.connection.vendor]:
        schema_editor.execute(statement)


def drop(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Remove the triggers, before the migration's reversal drops the table."""
    for statement in REMOVAL[schema_editor.connection.vendor]:
        schema_editor.execute(statement)
