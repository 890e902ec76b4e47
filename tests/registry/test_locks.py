"""The order of locks: one place says it, one function takes them, and who breaks it fails."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import transaction

from materialization.sequences import draw_sequence
from registry import audit, epoch, locks
from registry.models import AuditHead, FeatureTable, FeatureViewVersion, Project
from tests.factories import AT, make_project, make_ready, make_version

HOME = Path(__file__).parents[2]


@pytest.fixture(
    params=[
        pytest.param("cast", marks=pytest.mark.django_db),
        pytest.param("committed_cast", marks=pytest.mark.django_db(transaction=True)),
    ]
)
def people(request):
    """As in most tests, inside one transaction that is undone, and with real ones."""
    return request.getfixturevalue(request.param)


def note() -> None:
    audit.record(actor=None, verb="project.changed", subject=None, at=AT)


def test_only_one_function_locks_rows():
    folders = ("lib", "registry", "materialization", "serving", "featurestore_project")
    sources = [path for folder in folders for path in (HOME / folder).rglob("*.py")]

    asking = [path for path in sources if "select_for_update" in path.read_text()]

    assert [str(path.relative_to(HOME)) for path in asking] == ["registry/locks.py"]


def test_the_order_names_tables_there_are():
    tables = {model._meta.db_table for model in apps.get_models()}

    assert set(locks.ORDER) <= tables
    assert len(set(locks.ORDER)) == len(locks.ORDER)


def test_a_project_is_not_held_after_the_trail(people):
    with pytest.raises(locks.LockOrderBroken, match="registry_audithead"), transaction.atomic():
        note()
        epoch.hold(people.project.pk)


def test_a_change_of_a_row_is_a_lock_of_it_too(people):
    with pytest.raises(locks.LockOrderBroken, match="auth_user"), transaction.atomic():
        locks.hold(User.objects.filter(pk=people.author.pk))
        Project.objects.filter(pk=people.project.pk).update(title="new")


def test_what_changed_nothing_locked_nothing(people):
    with transaction.atomic():
        note()
        Project.objects.filter(pk=0).update(title="new")


def test_rows_of_one_table_are_locked_by_their_key(people):
    other = make_project("trips", people.owner)

    with transaction.atomic():
        epoch.hold(other.pk, people.project.pk)
    with pytest.raises(locks.LockOrderBroken, match="together"), transaction.atomic():
        epoch.hold(other.pk)
        epoch.hold(people.project.pk)


def test_what_is_held_may_be_asked_for_and_changed_again(people):
    with transaction.atomic():
        epoch.hold(people.project.pk)
        note()
        epoch.hold(people.project.pk)
        Project.objects.filter(pk=people.project.pk).update(title="new")
        note()


def test_each_transaction_begins_anew(people):
    with transaction.atomic():
        note()
    with transaction.atomic():
        epoch.hold(people.project.pk)


def test_what_a_savepoint_let_go_is_not_held(people):
    with transaction.atomic():
        with pytest.raises(LookupError), transaction.atomic():
            locks.hold(AuditHead.objects.all())
            raise LookupError
        epoch.hold(people.project.pk)


def test_a_table_is_changed_after_its_number_was_drawn(people):
    version = make_ready(make_version(people))
    table = FeatureTable.objects.get(versions=version)

    with pytest.raises(locks.LockOrderBroken, match="tablesequence"), transaction.atomic():
        draw_sequence(table)
        locks.hold(FeatureViewVersion.objects.filter(pk=version.pk))


def test_a_server_does_not_pay_for_it(people, settings):
    settings.LOCK_ORDER_CHECKED = False

    with transaction.atomic():
        note()
        locks.hold(Project.objects.filter(pk=people.project.pk))
