"""See to the tables of the offline store from the shell, as the sweep has workers do."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from lib.clock import database_now
from materialization.models import TableCare
from materialization.queries import tables_to_care_for
from materialization.runner.caring import care_for_tables


class Command(BaseCommand):
    help = (
        "Compact, checkpoint and vacuum the tables that are due: those that changed for a day or by"
        " many commits. Workers do so by themselves; called here it goes on until none is due."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        began, seen = database_now(), 0
        while count := care_for_tables(clock=database_now):
            seen += count
            self.stdout.write(
                f"{seen} tables seen to; {tables_to_care_for(database_now()).count()} left"
            )
        failed = TableCare.objects.filter(cared_at__gte=began).exclude(error="")
        for row in failed.select_related("table__feature_view__project"):
            self.stderr.write(f"{row.table}: {row.error}")
        if failed:
            raise CommandError(f"{failed.count()} of {seen} tables could not be seen to.")
        self.stdout.write("No table is due." if not seen else "All that were due are done.")
