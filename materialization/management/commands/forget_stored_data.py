"""Give up what the offline store has lost of a project's tables, from the shell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from lib.errors import AssayError
from materialization.queries import recorded_tables
from materialization.requests.losses import NothingLost, accept_loss

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from registry.models import FeatureTable


class Command(BaseCommand):
    help = (
        "Forget what was stored of the tables that the offline store has lost, so that it is"
        " computed again from what the sources have today. Restore the store instead if you can."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project")
        parser.add_argument("feature_view", nargs="?", help="only this view's tables")
        parser.add_argument("--by", required=True, help="login of who decides; may materialize it")
        parser.add_argument("--reason", required=True, help="kept in the audit trail")

    def handle(self, *args: Any, **options: Any) -> None:
        actor = User.objects.filter(username=options["by"]).first()
        if actor is None:
            raise CommandError(f"there is no user {options['by']!r}.")
        tables = recorded_tables().filter(feature_view__project__name=options["project"])
        if options["feature_view"]:
            tables = tables.filter(feature_view__name=options["feature_view"])
        if not tables:
            raise CommandError(f"nothing was ever stored of {options['project']}, by these names.")
        forgotten = sum(self._forget(table, actor, options["reason"]) for table in tables)
        self.stdout.write(f"{forgotten} of {len(tables)} tables are computed again.")

    def _forget(self, table: FeatureTable, actor: User, reason: str) -> bool:
        """Return whether the table was lost; say what became of it."""
        named = str(table)
        try:
            accept_loss(table=table, actor=actor, reason=reason, at=timezone.now())
        except NothingLost:
            self.stdout.write(f"{named}: nothing is lost.")
            return False
        except AssayError as exc:
            raise CommandError(f"{named}: {exc.message}") from exc
        self.stdout.write(f"{named}: forgotten; it is now {table}, and the next sweep fills it.")
        return True
