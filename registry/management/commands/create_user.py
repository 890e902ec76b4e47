"""Make an account from the shell: a person's or a program's, with its roles."""

from __future__ import annotations

import getpass
import sys
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from lib.errors import AssayError
from registry import epoch
from registry.choices import AccountKind, Role
from registry.models import Project
from registry.operations.people import members, passwords, users

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from datetime import datetime


class Command(BaseCommand):
    help = (
        "Make an account. A person's password is asked for, or read from standard input; it is"
        " never an argument, which others on the machine and the shell's history see."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--by", required=True, help="login of the superuser who makes it")
        parser.add_argument(
            "--service", action="store_true", help="a program's: it has tokens, and no login"
        )
        parser.add_argument("--email", default="")
        parser.add_argument("--no-staff", action="store_true", help="not for the admin")
        parser.add_argument(
            "--role", action="append", default=[], metavar="PROJECT:ROLE", help="repeatable"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        actor = User.objects.filter(username=options["by"]).first()
        if actor is None:
            raise CommandError(f"there is no user {options['by']!r}.")
        roles = [_role(text) for text in options["role"]]
        kind = AccountKind.SERVICE if options["service"] else AccountKind.PERSON
        is_staff = kind is AccountKind.PERSON and not options["no_staff"]
        user = User(username=options["username"], email=options["email"], is_staff=is_staff)
        if kind is AccountKind.PERSON:
            user.set_password(_password(user))
        else:
            user.set_unusable_password()
        try:
            said = _make(user, kind, roles, actor, timezone.now())
        except AssayError as exc:
            raise CommandError(exc.message) from exc
        self.stdout.write(f"{kind.value.replace('_', ' ')} {user} is made. {said}".strip())


def _make(
    user: User, kind: AccountKind, roles: list[tuple[Project, Role]], actor: User, at: datetime
) -> str:
    """Store the account and its roles, all or nothing; return what a role waits for."""
    waiting = []
    with transaction.atomic():
        epoch.hold(*(project.pk for project, _ in roles))
        users.add_user(user=user, kind=kind, actor=actor, at=at)
        for project, role in roles:
            given = members.grant_role(project=project, user=user, role=role, actor=actor, at=at)
            if not hasattr(given, "role"):
                waiting.append(f"{role} of {project} waits for a second person.")
    return " ".join(waiting)


def _role(text: str) -> tuple[Project, Role]:
    name, _, role = text.partition(":")
    project = Project.objects.filter(name=name).first()
    if project is None:
        raise CommandError(f"--role {text}: there is no project {name!r}.")
    if role not in {*Role}:
        raise CommandError(f"--role {text}: no role {role!r}. Valid: {', '.join(Role)}.")
    return project, Role(role)


def _password(user: User) -> str:
    """Ask for a password twice, or read one line where nobody can be asked."""
    if sys.stdin.isatty():
        password = getpass.getpass(f"Password of {user}: ")
        if password != getpass.getpass("Again: "):
            raise CommandError("the two are not the same.")
    else:
        password = sys.stdin.readline().rstrip("\n")
    if fault := passwords.fault_of(password, user):
        raise CommandError(fault)
    return password
