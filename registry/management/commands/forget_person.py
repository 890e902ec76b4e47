"""Forget who an account was; see ``operations.people.forgetting``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from lib.errors import AssayError
from registry.operations.people.forgetting import forget_person

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    help = (
        "Forget a person whose account is deactivated: name, address, roles and tokens go, what the"
        " account did stays in the trail under its pseudonym. There is no way back."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--by", required=True, help="login of the superuser who does it")

    def handle(self, *args: Any, **options: Any) -> None:
        user, actor = self._account(options["username"]), self._account(options["by"])
        try:
            forgotten = forget_person(user=user, actor=actor, at=timezone.now())
        except AssayError as exc:
            raise CommandError(exc.message) from exc
        self.stdout.write(f"{options['username']} is forgotten; the trail has {forgotten}.")

    def _account(self, name: str) -> User:
        if (found := User.objects.filter(username=name).first()) is None:
            raise CommandError(f"there is no account {name!r}.")
        return found
