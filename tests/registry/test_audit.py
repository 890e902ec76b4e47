"""The trail cannot be changed, and a change made below the database's triggers is found."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from lib.acts import act
from registry import audit
from registry.models import AuditEntry, AuditHead, Entity
from registry.triggers import REMOVAL
from tests.factories import AT, DEFINITIONS, ENTITY, apply, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def trail(cast):
    make_version(cast)
    return AuditEntry.objects.order_by("id")


def unguard():
    """Take every trigger away, as somebody with the database in their hands can."""
    with connection.cursor() as cursor:
        for statement in REMOVAL[connection.vendor]:
            cursor.execute(statement)


def refused(statement, match="append-only"):
    with (
        pytest.raises(DatabaseError, match=match),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


def test_the_chain_of_a_whole_journey_is_whole(trail):
    assert trail.count() >= 10
    assert audit.verify() is None


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE registry_auditentry SET actor_pseudonym = 'nobody'",
        "DELETE FROM registry_auditentry",
    ],
)
def test_entries_can_neither_be_changed_nor_removed(trail, statement):
    refused(statement)


@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="INSERT OR REPLACE is SQLite's")
def test_sqlite_cannot_replace_an_entry(trail):
    columns = ", ".join(field.column for field in AuditEntry._meta.fields)
    table = "registry_auditentry"
    over = f"INSERT OR REPLACE INTO {table} ({columns}) SELECT {columns} FROM {table} LIMIT 1"
    refused(over, match="append-only|never replaced|follows the newest one")


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has no TRUNCATE")
def test_postgresql_cannot_truncate_the_trail(trail):
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    refused("TRUNCATE registry_auditentry CASCADE")


def test_an_entry_changed_with_the_triggers_off_breaks_the_chain(trail):
    entry = trail[3]
    unguard()
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE registry_auditentry SET actor_pseudonym = 'nobody' WHERE id = %s", [entry.pk]
        )

    broken = audit.verify()
    assert broken is not None
    assert broken.entry_id == entry.pk


def test_an_entry_outside_a_transaction_is_refused(cast, monkeypatch):
    monkeypatch.setattr(audit, "connection", SimpleNamespace(in_atomic_block=False))

    with pytest.raises(RuntimeError, match="transaction of its change"):
        audit.record(actor=cast.author, verb="project.changed", subject=cast.project, at=AT)


def test_a_trail_cut_off_with_its_head_is_found(trail):
    unguard()
    AuditHead.objects.all().delete()
    assert audit.verify() is not None

    AuditHead.objects.create(pk=1, hash=audit.GENESIS, count=0)
    assert audit.verify() is not None


def test_a_head_that_counts_more_than_there_is_is_found(trail):
    unguard()
    AuditHead.objects.update(count=trail.count() + 1)

    assert audit.verify() is not None


def test_a_head_that_was_set_back_is_found(trail):
    unguard()
    AuditHead.objects.update(hash=trail[2].hash, count=3)

    assert audit.verify() is not None


def test_entries_of_one_act_share_its_id(cast):
    apply(DEFINITIONS, cast)

    entries = AuditEntry.objects.filter(actor=cast.author, project_name="rides")
    acts = entries.values_list("act_id", flat=True)
    assert len(acts) == 3
    assert len(set(acts)) == 1


def test_an_act_inside_an_act_is_the_same_one(cast):
    with act() as outer, act() as inner:
        assert inner == outer
    with act() as another:
        assert another != outer


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (1e22, "1e22"),
        (0.1, "0.1"),
        (-0.0, "-0.0"),
        (2**63, 2**63),
        (float("nan"), None),
        ({"b": [1.5, None, True], "a": "\u2028"}, {"b": ["1.5", None, True], "a": "\u2028"}),
        (AT, "2026-03-01T12:00:00Z"),
    ],
)
def test_values_hash_the_same_when_the_database_gives_them_back(cast, value, kept):
    audit.record(actor=None, verb="project.changed", subject=cast.project, after=value, at=AT)

    assert AuditEntry.objects.first().after == kept
    assert audit.verify() is None


def test_an_entry_outlives_what_it_is_about(cast):
    apply(ENTITY, cast)
    unguard()  # who edited it is not forgotten otherwise
    entity = Entity.objects.get()
    label = str(entity)
    entity.delete()

    assert AuditEntry.objects.filter(subject_label=label, project_name="rides").exists()


def test_who_is_nobody_is_anonymous_and_who_is_none_is_the_system(cast):
    for actor in (AnonymousUser(), None):
        audit.record(actor=actor, verb="project.changed", subject=None, at=AT)

    names = AuditEntry.objects.values_list("actor_pseudonym", "actor_id")[:2]
    assert list(names) == [("system", None), ("anonymous", None)]


def test_the_command_says_whether_the_chain_is_whole(trail, capsys):
    call_command("verify_audit")
    assert f"{trail.count()} entries, the chain is whole." in capsys.readouterr().out
    unguard()

    AuditHead.objects.update(hash="0" * 64)
    with pytest.raises(CommandError, match="the head: the chain is broken"):
        call_command("verify_audit")
