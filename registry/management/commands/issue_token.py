"""Issue an API token from the shell; it is printed once and kept only as a hash."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from lib.errors import AssayError
from registry.choices import Right
from registry.models import Project
from registry.operations.people.tokens import Limits, issue_token

if TYPE_CHECKING:
    from argparse import ArgumentParser

#: Options that limit what the token is for, in the order of ``Limits``.
LIMITS = {"view": "customer_spend", "right": Right.READ_ONLINE, "network": "10.1.0.0/16"}


class Command(BaseCommand):
    help = "Issue an API token for a user and print it, once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--name", default="command line")
        parser.add_argument("--days", type=int, default=90)
        parser.add_argument("--project", help="limit the token to this project")
        for limit, example in LIMITS.items():
            parser.add_argument(
                f"--{limit}",
                action="append",
                default=[],
                help=f"limit it to this {limit}, as in {example}; repeatable",
            )

        parser.add_argument(
            "--calls-per-minute", type=int, metavar="N", help="calls it may make; 0: no limit"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["username"]).first()
        if user is None:
            raise CommandError(f"there is no user {options['username']!r}.")
        project = (
            Project.objects.filter(name=options["project"]).first() if options["project"] else None
        )
        if options["project"] and project is None:
            raise CommandError(f"there is no project {options['project']!r}.")
        try:
            _, text = issue_token(
                user=user,
                name=options["name"],
                actor=user,
                at=timezone.now(),
                days=options["days"],
                project=project,
                limits=Limits(
                    views=options["view"],
                    rights=options["right"],
                    networks=options["network"],
                    calls_per_minute=options["calls_per_minute"],
                ),
            )
        except AssayError as exc:
            raise CommandError(exc.message) from exc
        self.stdout.write(text)
