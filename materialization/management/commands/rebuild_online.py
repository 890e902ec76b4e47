"""Fill the online store again from the offline store, from the shell, after a total loss."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from lib.clock import database_now
from materialization.choices import RunStatus
from materialization.requests.rebuilding import ask_for_reloads, rebuild

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from materialization.requests.rebuilding import Progress


class Command(BaseCommand):
    help = (
        "Fill Redis again with every table that is not loaded, from the offline store. Workers may"
        " do some of it meanwhile; called again it goes on where it was stopped."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--project", help="only its views")
        parser.add_argument("--view", help="only this view")
        parser.add_argument(
            "--processes",
            type=int,
            default=os.cpu_count() or 1,
            help="tables that are loaded at once (default: as many as cores)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        began = time.monotonic()
        runs = ask_for_reloads(
            project=options["project"], feature_view=options["view"], at=database_now()
        )
        self.stdout.write(f"{len(runs)} tables are not loaded.")
        processes = max(options["processes"], 1)
        done = rebuild(runs, processes=processes, say=self._say, clock=database_now)
        took = time.monotonic() - began
        rows = sum(run.rows_online for run in done)
        if runs:
            self.stdout.write(f"{rows:,} entities in {took:.1f} s ({rows / took:,.0f} a second).")
        if failed := [run for run in done if run.status != RunStatus.SUCCEEDED]:
            raise CommandError(
                f"{len(failed)} tables were not loaded; the first: {failed[0]}: {failed[0].error}"
            )

    def _say(self, progress: Progress) -> None:
        run = progress.run
        what = f"{run.rows_online:,} entities" if run.status == RunStatus.SUCCEEDED else run.status
        self.stdout.write(f"{run.version}: {what}; {progress.left} left")
        self.stdout.flush()
