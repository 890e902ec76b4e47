"""List the connections of this server, and what is wrong with them, at its shell."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from lib.errors import AssayError
from registry.connections import all_connections, secret_text


class Command(BaseCommand):
    help = "List the connections (CONNECTIONS_FILE), who may use each, and what is wrong with them."

    def handle(self, *args: Any, **options: Any) -> None:
        found = all_connections()
        faults = list(found.faults)
        for name, each in sorted(found.by_name.items()):
            projects = ", ".join(each.projects) or "no project"
            self.stdout.write(f"{name}  {each.kind}  {each.address}  {projects}")
            try:
                for part in each.parts:
                    secret_text(part)
            except AssayError as exc:
                faults.append(f"connection {name!r}: {exc.__cause__ or exc.message}.")
        if faults:
            raise CommandError("\n".join(faults))
