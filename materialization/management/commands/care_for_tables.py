"""See to the tables of the offline store from the shell, as the sweep has workers do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from django.template.defaultfilters import filesizeformat

from lib.clock import database_now
from materialization.models import TableCare
from materialization.queries import tables_to_care_for
from materialization.runner.caring import care_for_tables

if TYPE_CHECKING:
    from argparse import ArgumentParser

NONE_DUE = (
    "No table is due: each is seen to a day after its first new commit, and sooner after many."
    " --all sees to all of them now."
)


class Command(BaseCommand):
    help = (
        "Compact, checkpoint and vacuum the tables that are due: those that changed for a day or by"
        " many commits. Workers do so by themselves; called here it goes on until none is due."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--all", action="store_true", help="all tables now, due or not")

    def handle(self, *args: Any, **options: Any) -> None:
        began, before = database_now(), {row.pk: row for row in TableCare.objects.all()}
        if options["all"]:
            TableCare.objects.update(cared_at=None)  # as if nobody had seen to any
        while care_for_tables(clock=database_now):
            if left := tables_to_care_for(database_now()).count():
                self.stdout.write(f"{left} tables left")
        seen = TableCare.objects.filter(cared_at__gte=began).order_by("pk")
        failed = 0
        for row in seen.select_related("table__feature_view__project"):
            self.stdout.write(f"{row.table}: {_done(row, before.get(row.pk, TableCare()))}")
            if row.error:
                failed += 1
                self.stderr.write(f"{row.table}: {row.error}")
        if failed:
            raise CommandError(f"{failed} of {len(seen)} tables could not be seen to.")
        self.stdout.write("All that were due are done." if seen else NONE_DUE)


def _done(row: TableCare, before: TableCare) -> str:
    """Return what was done to a table since it was seen to before."""
    compacted, removed = row.compacted - before.compacted, row.removed - before.removed
    size = filesizeformat(row.freed - before.freed).replace("\xa0", " ")
    return (
        f"{compacted} small files compacted, {removed} unused ones removed ({size});"
        f" {row.files} in use"
    )
