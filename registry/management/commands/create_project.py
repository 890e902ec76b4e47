"""Create a project from the shell, for the first one of an installation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from lib.errors import AssayError
from registry.operations.people.projects import create_project

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    help = "Create a project with its first owner and its allow-listed roots."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--owner", required=True, help="login of the first owner")
        parser.add_argument("--title", default="")
        parser.add_argument(
            "--root",
            action="append",
            default=[],
            help="directory file sources may read; repeatable",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        owner = User.objects.filter(username=options["owner"]).first()
        if owner is None:
            raise CommandError(
                f"there is no user {options['owner']!r}; `manage.py createsuperuser` makes one."
            )
        roots = [str(Path(root).resolve()) for root in options["root"]]
        try:
            project = create_project(
                name=options["name"],
                title=options["title"],
                roots=roots,
                actor=owner,
                at=timezone.now(),
            )
        except AssayError as exc:
            raise CommandError(exc.message) from exc
        self.stdout.write(f"project {project} created; {owner} owns it.")
