"""Say whether the audit trail is whole and guarded, and whether what it tells is what there is."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from lib.errors import AssayError
from registry.models import AuditEntry, FeatureViewVersion
from registry.seals.checking import broken_seals, seals_at
from registry.seals.keys import key_id, read_public, signing_key
from registry.trail.verifying import findings

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from registry.seals.sealed import Seal

#: Findings that are told; who has this many has them all to see to.
MOST = 1000


class Command(BaseCommand):
    help = (
        "Verify the audit trail: its chain, its head, the triggers that guard it, and of each"
        " version what it says; exits 1 where anything is wrong."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--seal",
            action="append",
            default=[],
            metavar="FILE|URL",
            help="hold the trail against the seals there too, repeatable",
        )
        parser.add_argument(
            "--public-key",
            action="append",
            default=[],
            type=Path,
            metavar="FILE",
            help="of whoever signed them, repeatable; this installation's own unless given",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        seals = _seals(options["seal"], options["public_key"])
        found = [str(each) for each in islice(findings(), MOST)] + list(broken_seals(seals))
        if found:
            more = f" (the first {MOST})" if len(found) == MOST else ""
            listed = "".join(f"\n  {each}" for each in found)
            raise CommandError(f"{len(found)} things are wrong{more}:{listed}")
        entries, versions = AuditEntry.objects.count(), FeatureViewVersion.objects.count()
        self.stdout.write(
            f"{entries} entries, the chain is whole. Its triggers are in place, and {versions}"
            " versions are what it says."
        )
        if seals:
            newest = max(seals, key=lambda each: each.count)
            self.stdout.write(
                f"{len(seals)} seals fit; the newest, of {newest.at}, is of the first"
                f" {newest.count} entries."
            )


def _seals(addresses: list[str], key_files: list[Path]) -> list[Seal]:
    if not addresses:
        return []
    try:
        keys: dict[str, Ed25519PublicKey] = {}
        for file in key_files:
            keys |= read_public(file.read_text())
        if not key_files:
            own = signing_key().public_key()
            keys = {key_id(own): own}
        return [seal for address in addresses for seal in seals_at(_full(address), keys)]
    except (AssayError, OSError) as exc:
        raise CommandError(str(exc)) from exc


def _full(address: str) -> str:
    """A path as a shell knows it is one from the root."""
    return address if "://" in address else str(Path(address).absolute())
