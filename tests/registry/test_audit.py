"""The trail cannot be changed, and a change made below the database's triggers is found."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection, transaction

from registry import audit
from registry.models import AuditEntry
from tests.factories import AT, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def trail(cast):
    make_version(cast)
    return AuditEntry.objects.order_by("id")


def refused(statement):
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_the_chain_of_a_whole_journey_is_whole(trail):
    assert trail.count() >= 10
    assert audit.verify() is None


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE registry_auditentry SET actor_name = 'nobody'",
        "DELETE FROM registry_auditentry",
    ],
)
def test_entries_can_neither_be_changed_nor_removed(trail, statement):
    refused(statement)


@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="INSERT OR REPLACE is SQLite's")
def test_sqlite_cannot_replace_an_entry(trail):
    columns = ", ".join(field.column for field in AuditEntry._meta.fields)
    refused(f"INSERT OR REPLACE INTO registry_auditentry ({columns}) SELECT {columns} FROM registry_auditentry LIMIT 1")


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has no TRUNCATE")
def test_postgresql_cannot_truncate_the_trail(trail):
    refused("TRUNCATE registry_auditentry")


def test_an_entry_changed_with_the_triggers_off_breaks_the_chain(trail):
    entry = trail[3]
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("DROP TRIGGER registry_auditentry_no_update")
        else:
            cursor.execute("ALTER TABLE registry_auditentry DISABLE TRIGGER USER")
        cursor.execute("UPDATE registry_auditentry SET actor_name = 'nobody' WHERE id = %s", [entry.pk])

    broken = audit.verify()
    assert broken is not None
    assert broken.entry_id == entry.pk


def test_an_entry_outside_a_transaction_is_refused(cast, monkeypatch):
    monkeypatch.setattr(connection, "in_atomic_block", False)

    with pytest.raises(RuntimeError, match="transaction of its change"):
        audit.record(actor=cast.author, verb="x.done", subject=cast.project, at=AT)
