"""Accounts made at the shell: of persons and programs, with roles, and no password in sight."""

from __future__ import annotations

import io

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from registry.access import is_person
from registry.models import AuditEntry, Membership

pytestmark = pytest.mark.django_db
PASSWORD = "9d-Kfs_2xk-long"


def create(monkeypatch, *arguments, stdin=f"{PASSWORD}\n"):
    monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
    out = io.StringIO()
    call_command("create_user", *arguments, "--by", "superuser", stdout=out)
    return out.getvalue()


def roles(name):
    rows = Membership.objects.filter(user__username=name).order_by("role")
    return list(rows.values_list("role", flat=True))


def test_a_person_gets_a_password_from_standard_input_and_roles(cast, monkeypatch, client):
    said = create(monkeypatch, "ana", "--role", "rides:author", "--role", "rides:consumer")

    assert said == "person ana is made.\n"
    assert roles("ana") == ["author", "consumer"]
    assert client.login(username="ana", password=PASSWORD)
    made = AuditEntry.objects.get(
        verb="user.created", subject_id=str(User.objects.get(username="ana").pk)
    )
    assert made.actor_id == cast.superuser.pk
    assert PASSWORD not in str(list(AuditEntry.objects.values()))


def test_a_program_gets_none(cast, monkeypatch):
    said = create(monkeypatch, "batch", "--service", "--role", "rides:operator", stdin="")

    batch = User.objects.get(username="batch")
    assert said == "service account batch is made.\n"
    assert (is_person(batch), batch.has_usable_password(), batch.is_staff) == (False, False, False)
    assert roles("batch") == ["operator"]


@pytest.mark.parametrize(
    ("arguments", "stdin", "says"),
    [
        (["ana"], "short\n", "too short"),
        (["ana"], "", "too short"),
        (["ana", "--role", "nowhere:author"], f"{PASSWORD}\n", "there is no project 'nowhere'"),
        (["ana", "--role", "rides:king"], f"{PASSWORD}\n", "no role 'king'. Valid: consumer"),
        (["steward"], f"{PASSWORD}\n", "is or was another account's"),
    ],
)
def test_what_is_wrong_makes_no_account(cast, monkeypatch, arguments, stdin, says):
    before = User.objects.count()

    with pytest.raises(CommandError, match=says):
        create(monkeypatch, *arguments, stdin=stdin)

    assert User.objects.count() == before


def test_only_a_superuser_makes_accounts(cast):
    for by, says in {"owner": "not a superuser", "nobody": "there is no user"}.items():
        with pytest.raises(CommandError, match=says):
            call_command("create_user", "batch", "--service", "--by", by)
