"""The key that signs seals, and the public ones that check them.

Not for sessions or tokens: each secret is for one thing, so that it can be kept somewhere else.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.conf import settings

from lib.errors import Invalid

if TYPE_CHECKING:
    from pathlib import Path

_PEM = serialization.Encoding.PEM
_END = "-----END PUBLIC KEY-----"


class BadSealKey(Invalid):
    code = "invalid_seal_key"


def signing_key() -> Ed25519PrivateKey:
    """Return the installation's key: of ``SEAL_KEY``, else of a file that is made once.

    :raises BadSealKey: it is no Ed25519 key in PEM.
    """
    if settings.SEAL_KEY:
        return _read_private(settings.SEAL_KEY.encode())
    path: Path = settings.STATE_DIR / "seal-key.pem"
    if not path.exists():
        _make(path)
    return _read_private(path.read_bytes())


def _make(path: Path) -> None:
    plain, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    made = Ed25519PrivateKey.generate().private_bytes(_PEM, plain, none)
    path.parent.mkdir(parents=True, exist_ok=True)
    own = path.with_name(f"{path.name}.{os.getpid()}")
    own.write_bytes(b"")
    own.chmod(0o600)
    own.write_bytes(made)
    try:
        # Of two processes that make one, one's stays, and both read that one next.
        with suppress(FileExistsError):
            os.link(own, path)
    finally:
        own.unlink()


def _read_private(pem: bytes) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as exc:
        raise BadSealKey(f"SEAL_KEY is no private key in PEM: {exc}") from exc
    if not isinstance(key, Ed25519PrivateKey):
        raise BadSealKey(
            "SEAL_KEY is no Ed25519 key; make one with openssl genpkey -algorithm ed25519"
        )
    return key


def public_pem(key: Ed25519PublicKey) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(_PEM, form).decode()


def key_id(key: Ed25519PublicKey) -> str:
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:16]


def read_public(text: str) -> dict[str, Ed25519PublicKey]:
    """Return the public keys of a text of one or more in PEM, by their id.

    :raises BadSealKey: one of them is none.
    """
    keys = {}
    for part in text.split(_END)[:-1]:
        try:
            key = serialization.load_pem_public_key(f"{part.strip()}\n{_END}\n".encode())
        except ValueError as exc:
            raise BadSealKey(f"this is no public key in PEM: {exc}") from exc
        if not isinstance(key, Ed25519PublicKey):
            raise BadSealKey("this is no Ed25519 public key.")
        keys[key_id(key)] = key
    if not keys:
        raise BadSealKey("there is no public key in PEM in it.")
    return keys
