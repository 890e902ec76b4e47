"""What the database itself refuses, whoever asks: for the initial migration.

The audit trail is append-only, and a version is what was agreed to: its content stays from submit
on, its state moves along the lifecycle's table, and nobody's own approval makes it approved. What
was found out about it stays as it was when it came in. Code keeps these rules and explains them;
these catch a shell, a script or a mistake of ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from registry.choices import EvidenceStatus, State, Verdict
from registry.lifecycle import TRANSITIONS

if TYPE_CHECKING:
    from django.apps.registry import Apps
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor

# --- The audit trail -----------------------------------------------------------------------------

# UPDATE and DELETE are refused row by row; on SQLite an INSERT over an existing id too (``INSERT OR
# REPLACE`` passes DELETE triggers by), on PostgreSQL TRUNCATE (which passes row triggers by).
TRAIL = "registry_auditentry"
TRAIL_REFUSAL = "audit entries are append-only"

TRAIL_SQLITE = [
    f"""CREATE TRIGGER {TRAIL}_no_{event.lower()} BEFORE {event} ON {TRAIL}
        BEGIN SELECT RAISE(ABORT, '{TRAIL_REFUSAL}'); END"""
    for event in ("UPDATE", "DELETE")
] + [
    f"""CREATE TRIGGER {TRAIL}_no_replace BEFORE INSERT ON {TRAIL}
        WHEN EXISTS (SELECT 1 FROM {TRAIL} WHERE id = NEW.id OR hash = NEW.hash)
        BEGIN SELECT RAISE(ABORT, '{TRAIL_REFUSAL}'); END"""  # noqa: S608 - a constant table name
]
TRAIL_POSTGRESQL = [
    f"""CREATE OR REPLACE FUNCTION {TRAIL}_refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION '{TRAIL_REFUSAL}'; END $$""",
    f"""CREATE TRIGGER {TRAIL}_no_change BEFORE UPDATE OR DELETE ON {TRAIL}
        FOR EACH ROW EXECUTE FUNCTION {TRAIL}_refuse()""",
    f"""CREATE TRIGGER {TRAIL}_no_truncate BEFORE TRUNCATE ON {TRAIL}
        FOR EACH STATEMENT EXECUTE FUNCTION {TRAIL}_refuse()""",
]

# --- Versions ------------------------------------------------------------------------------------

VERSIONS = "registry_featureviewversion"
#: What stays from submit on.
FROZEN = (
    "feature_view_id", "major", "minor", "patch", "spec_json", "data_fingerprint",
    "metadata_fingerprint", "table_id", "based_on_id", "change_class", "packet", "packet_hash",
    "created_by_id", "submitted_by_id",
)  # fmt: skip
CHANGED = " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in FROZEN)
STEPS = ", ".join(sorted({f"'{state}>{way.target}'" for (state, _), way in TRANSITIONS.items()}))
EDITORS = "SELECT user_id FROM registry_versioneditor e WHERE e.version_id = OLD.id"
APPROVED = f"""EXISTS (SELECT 1 FROM registry_review r WHERE r.version_id = OLD.id
    AND r.verdict = '{Verdict.APPROVED}' AND r.packet_hash = OLD.packet_hash
    AND r.reviewer_id NOT IN ({EDITORS}))"""  # noqa: S608 - our own words
#: (event, refusal) → the condition on OLD and NEW under which it is raised.
Rules: TypeAlias = dict[tuple[str, str], str]
RULES: Rules = {
    ("INSERT", "a version begins as a draft"): f"NEW.state <> '{State.DRAFT}'",
    ("DELETE", "a submitted version is never deleted"): f"OLD.state <> '{State.DRAFT}'",
    (
        "UPDATE",
        "a submitted version never changes",
    ): f"OLD.state <> '{State.DRAFT}' AND ({CHANGED})",
    ("UPDATE", "the lifecycle has no such step"): (
        f"NEW.state <> OLD.state AND OLD.state || '>' || NEW.state NOT IN ({STEPS})"
    ),
    ("UPDATE", "a version needs the approval of somebody who did not edit it"): (
        f"OLD.state = '{State.IN_REVIEW}' AND NEW.state = '{State.APPROVED}' AND NOT {APPROVED}"
    ),
}

# --- Evidence ------------------------------------------------------------------------------------

EVIDENCE = "registry_evidence"
EVIDENCE_REFUSAL = "evidence that is in never changes"
IS_IN = f"OLD.status = '{EvidenceStatus.COMPUTED}'"
EVIDENCE_RULES: Rules = {
    ("UPDATE", EVIDENCE_REFUSAL): IS_IN,
    ("DELETE", EVIDENCE_REFUSAL): IS_IN,
}

# --- Both ----------------------------------------------------------------------------------------

#: The rules of each table that has some.
GUARDED = {VERSIONS: RULES, EVIDENCE: EVIDENCE_RULES}


def _sqlite(table: str, rules: Rules) -> list[str]:
    return [
        f"""CREATE TRIGGER {table}_rule_{number} BEFORE {event} ON {table}
            WHEN {condition} BEGIN SELECT RAISE(ABORT, '{refusal}'); END"""
        for number, ((event, refusal), condition) in enumerate(rules.items())
    ]


def _raise_if(rule: tuple[str, str], condition: str) -> str:
    event, refusal = rule
    raised = f"IF {condition} THEN RAISE EXCEPTION '{refusal}'; END IF;"
    return f"IF TG_OP = '{event}' THEN {raised} END IF;"


def _postgresql(table: str, rules: Rules) -> list[str]:
    """One function with all rules: a trigger's own WHEN may ask no other table here."""
    return [
        f"""CREATE OR REPLACE FUNCTION {table}_check() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN {" ".join(_raise_if(*rule) for rule in rules.items())}
            RETURN coalesce(NEW, OLD); END $$""",
        f"""CREATE TRIGGER {table}_rules BEFORE INSERT OR UPDATE OR DELETE ON {table}
            FOR EACH ROW EXECUTE FUNCTION {table}_check()""",
    ]


STATEMENTS = {
    "sqlite": [*TRAIL_SQLITE, *(sql for each in GUARDED.items() for sql in _sqlite(*each))],
    "postgresql": [
        *TRAIL_POSTGRESQL,
        *(sql for each in GUARDED.items() for sql in _postgresql(*each)),
    ],
}
REMOVAL = {
    "sqlite": [
        *(f"DROP TRIGGER {TRAIL}_no_{event}" for event in ("update", "delete", "replace")),
        *(
            f"DROP TRIGGER {table}_rule_{number}"
            for table, rules in GUARDED.items()
            for number in range(len(rules))
        ),
    ],
    "postgresql": [
        f"DROP FUNCTION {function}() CASCADE"
        for function in (f"{TRAIL}_refuse", *(f"{table}_check" for table in GUARDED))
    ],
}


def create(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Create the triggers for the database at hand.

    :raises KeyError: for a database the trail cannot be guarded on.
    """
    for statement in STATEMENTS[schema_editor.connection.vendor]:
        schema_editor.execute(statement)


def drop(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Remove the triggers, before the migration's reversal drops the tables."""
    for statement in REMOVAL[schema_editor.connection.vendor]:
        schema_editor.execute(statement)
