"""Give a project a directory to read, from the shell of the server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from lib.errors import AssayError
from registry.file_roots import DEFAULT
from registry.models import Project
from registry.operations.registration.roots import assign_root

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    help = "Assign a directory to a project as one of its roots. Superusers move it in the admin."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project")
        parser.add_argument("directory", type=Path)
        parser.add_argument("--name", default=DEFAULT, help="what definitions call it")

    def handle(self, *args: Any, **options: Any) -> None:
        project = Project.objects.filter(name=options["project"]).first()
        if project is None:
            raise CommandError(f"there is no project {options['project']!r}.")
        path = str(options["directory"].resolve())
        try:
            root = assign_root(
                project=project, name=options["name"], path=path, actor=None, at=timezone.now()
            )
        except AssayError as exc:
            raise CommandError(exc.message) from exc
        self.stdout.write(f"project {project} reads {root.path} as its root {root}.")
