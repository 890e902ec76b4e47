"""Create a project from the shell, for the first one of an installation, with its people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from lib.errors import AssayError
from registry import epoch
from registry.choices import Role
from registry.file_roots import DEFAULT
from registry.models import Project, Proposal
from registry.operations.people.members import grant_role
from registry.operations.people.projects import create_project
from registry.operations.registration.roots import assign_root

if TYPE_CHECKING:
    from argparse import ArgumentParser

#: The roles that may be given at once; the owner is one of them.
GIVEN = tuple(role for role in Role if role != Role.OWNER)


class Command(BaseCommand):
    help = "Create a project with its first owner and the directories its sources may read."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--owner", required=True, help="login of the first owner")
        for role in GIVEN:
            parser.add_argument(
                f"--{role}", action="append", default=[], metavar="LOGIN", help="repeatable"
            )
        parser.add_argument("--title", default="")
        parser.add_argument(
            "--root",
            action="append",
            default=[],
            metavar="[NAME=]DIRECTORY",
            help="directory file sources may read, repeatable; the name is default unless given",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        owner = _user(options["owner"], "createsuperuser")
        people = [(role, _user(name)) for role in GIVEN for name in options[role]]
        at = timezone.now()
        said = []
        try:
            # All or nothing: a project without the root that was asked for is no use.
            with transaction.atomic():
                # A root is compared with those of all projects: locked before the trail.
                epoch.hold(*Project.objects.values_list("pk", flat=True))
                project = create_project(
                    name=options["name"], title=options["title"], actor=owner, at=at
                )
                for name, path in map(_named, options["root"]):
                    assign_root(project=project, name=name, path=path, actor=None, at=at)
                for role, user in people:
                    given = grant_role(project=project, user=user, role=role, actor=owner, at=at)
                    waits = isinstance(given, Proposal)
                    said.append(
                        f"{user} as {role} waits for a second person."
                        if waits
                        else f"{user} is {role}."
                    )
        except AssayError as exc:
            raise CommandError(exc.message) from exc
        self.stdout.write(" ".join([f"project {project} created; {owner} owns it.", *said]))


def _user(name: str, command: str = "create_user") -> User:
    found = User.objects.filter(username=name).first()
    if found is None:
        raise CommandError(f"there is no user {name!r}; `manage.py {command}` makes one.")
    return found


def _named(text: str) -> tuple[str, str]:
    name, found, path = text.partition("=")
    return (name, str(Path(path).resolve())) if found else (DEFAULT, str(Path(text).resolve()))
