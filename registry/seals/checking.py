"""Holding the trail against a seal: what was cut off its end, or written again before it.

Not for the chain itself (``audit.verify``): a seal speaks of the entries up to its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.errors import NotFound
from registry.models import AuditEntry
from registry.seals.channels.kinds import channel_of
from registry.seals.sealed import parse_seals

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from registry.seals.sealed import Seal


class NoSeal(NotFound):
    code = "no_seal"


def seals_at(address: str, keys: Mapping[str, Ed25519PublicKey]) -> list[Seal]:
    """Return the seals of a place, each signed by one of the keys.

    :raises SealChannelFailed, UnknownSealChannel: it cannot be read.
    :raises NoSeal: there is none; whoever emptied the place would not be noticed otherwise.
    :raises BadSeal: something there is no seal, or is signed by nobody of these.
    """
    seals = list(parse_seals(channel_of(address).fetch(address)))
    if not seals:
        raise NoSeal("there is no seal at that place: nothing there says what the trail was.")
    for seal in seals:
        seal.require_signed(keys)
    return seals


def broken_seals(seals: list[Seal]) -> Iterator[str]:
    """Say of each seal that the trail does not fit any more what became of it.

    The chain is known to be whole: so an entry that is where it was, with its hash, stands for all
    before it.
    """
    entries = AuditEntry.objects.order_by("pk")
    count = entries.count()
    for seal in sorted(seals, key=lambda each: each.count):
        if count < seal.count:
            yield (
                f"the seal of {seal.at} has {seal.count} entries, and the trail has {count}: its"
                " end was cut off"
            )
        elif entries[seal.count - 1].hash != seal.hash:
            yield (
                f"the seal of {seal.at} has the hash {seal.hash} at entry number {seal.count}, and"
                f" the trail {entries[seal.count - 1].hash}: entries up to it were written again"
            )
