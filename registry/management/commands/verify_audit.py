"""Walk the audit trail's hash chain and say whether it is whole."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from registry.audit import verify
from registry.models import AuditEntry


class Command(BaseCommand):
    help = "Verify the hash chain of the audit trail; exits 1 at the first broken link."

    def handle(self, *args: Any, **options: Any) -> None:
        broken = verify()
        if broken is not None:
            where = f"entry {broken.entry_id}" if broken.entry_id else "the head"
            raise CommandError(
                f"the trail is broken at {where}: expected {broken.expected}, found {broken.found}."
            )
        self.stdout.write(f"{AuditEntry.objects.count()} entries, the chain is whole.")
