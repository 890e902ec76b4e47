"""One seal: how many entries the trail had and the hash of the last, signed. [pure]

The hash stands for every entry before it, so a seal that still fits says that none of them changed.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

import msgspec
from cryptography.exceptions import InvalidSignature

from lib.decoding import json_reader
from lib.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

#: Characters of a line; a seal has some three hundred.
MOST_LENGTH = 4000


class BadSeal(Invalid):
    code = "invalid_seal"


class Seal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``at`` is an instant in ISO 8601; ``key`` names the public key that checks it."""

    kind: str = "assay-audit-seal-1"
    count: int
    hash: str
    at: str
    key: str
    signature: str = ""

    @property
    def content(self) -> bytes:
        """What is signed: all but the signature, in one order."""
        return msgspec.json.encode(msgspec.structs.replace(self, signature=""), order="sorted")

    @property
    def line(self) -> str:
        return msgspec.json.encode(self, order="sorted").decode()

    def signed_by(self, key: Ed25519PrivateKey) -> Seal:
        signature = base64.b64encode(key.sign(self.content)).decode()
        return msgspec.structs.replace(self, signature=signature)

    def require_signed(self, keys: Mapping[str, Ed25519PublicKey]) -> None:
        """Return if one of these keys signed it.

        :raises BadSeal: another did, or it was changed since.
        """
        if (key := keys.get(self.key)) is None:
            known = ", ".join(keys) or "none"
            raise BadSeal(
                f"the seal of {self.at} is signed by the key {self.key}, and the keys given are"
                f" {known}: name its public key with --public-key FILE."
            )
        try:
            key.verify(base64.b64decode(self.signature, validate=True), self.content)
        except (InvalidSignature, binascii.Error) as exc:
            raise BadSeal(f"the seal of {self.at} is not what the key {self.key} signed.") from exc


_read = json_reader(Seal)


def parse_seals(text: str) -> Iterator[Seal]:
    """Yield the seals of a text, one a line.

    :raises BadSeal: a line is none.
    """
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            yield _read(line[:MOST_LENGTH].encode())
        except (msgspec.DecodeError, UnicodeEncodeError) as exc:
            raise BadSeal(f"line {number} is no seal of a trail: {exc}") from exc
