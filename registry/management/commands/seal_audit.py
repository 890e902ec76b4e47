"""Seal the audit trail now, or print the public key that checks seals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from lib.errors import AssayError
from registry.seals.keys import public_pem, signing_key
from registry.seals.making import seal_now

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    help = (
        "Sign what the audit trail is now, print the seal, and publish it at every place of"
        " SEAL_CHANNELS; exits 1 where it could not be published."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--public-key",
            action="store_true",
            help="only print the public key, for whoever checks seals elsewhere",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["public_key"]:
                self.stdout.write(public_pem(signing_key().public_key()), ending="")
                return
            seal, failed = seal_now(at=timezone.now())
        except AssayError as exc:
            raise CommandError(exc.message) from exc
        if seal is None:
            raise CommandError("the trail has no entry yet; there is nothing to seal.")
        self.stdout.write(seal.line)
        if failed:
            raise CommandError(f"not published: {'; '.join(failed.values())}")
        if not settings.SEAL_CHANNELS:
            self.stderr.write("SEAL_CHANNELS is empty: keep this line outside, nobody else does.")
