"""Say whether the audit trail is whole and guarded, and whether what it tells is what there is."""

from __future__ import annotations

from itertools import islice
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from registry.models import AuditEntry, FeatureViewVersion
from registry.verifying import findings

#: Findings that are told; who has this many has them all to see to.
MOST = 100


class Command(BaseCommand):
    help = (
        "Verify the audit trail: its chain, its head, the triggers that guard it, and of each"
        " version what it says; exits 1 where anything is wrong."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        found = [str(each) for each in islice(findings(), MOST)]
        if found:
            more = f" (the first {MOST})" if len(found) == MOST else ""
            listed = "".join(f"\n  {each}" for each in found)
            raise CommandError(f"{len(found)} things are wrong{more}:{listed}")
        entries, versions = AuditEntry.objects.count(), FeatureViewVersion.objects.count()
        self.stdout.write(
            f"{entries} entries, the chain is whole. Its triggers are in place, and {versions}"
            " versions are what it says."
        )
