"""Create a project from the shell, for the first one of an installation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from lib.errors import AssayError
from registry import epoch
from registry.file_roots import DEFAULT
from registry.models import Project
from registry.operations.people.projects import create_project
from registry.operations.registration.roots import assign_root

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    help = "Create a project with its first owner and the directories its sources may read."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--owner", required=True, help="login of the first owner")
        parser.add_argument("--title", default="")
        parser.add_argument(
            "--root",
            action="append",
            default=[],
            metavar="[NAME=]DIRECTORY",
            help="directory file sources may read, repeatable; the name is default unless given",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        owner = User.objects.filter(username=options["owner"]).first()
        if owner is None:
            raise CommandError(
                f"there is no user {options['owner']!r}; `manage.py createsuperuser` makes one."
            )
        at = timezone.now()
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
        except AssayError as exc:
            raise CommandError(exc.message) from exc
        self.stdout.write(f"project {project} created; {owner} owns it.")


def _named(text: str) -> tuple[str, str]:
    name, found, path = text.partition("=")
    return (name, str(Path(path).resolve())) if found else (DEFAULT, str(Path(text).resolve()))
