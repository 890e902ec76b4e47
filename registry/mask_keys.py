"""The key that hashes of a project are made with: which it is, and its secret for the engine.

Not for making hashes (``materialization.transforms.masking``). Nothing but a job's pipe gets the
secret from here.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap,
    aes_key_wrap,
)
from django.conf import settings
from django.db import IntegrityError, transaction

from registry import audit
from registry.models import MaskKey
from registry.models.mask_key import KEY_BYTES
from registry.spec.hash_keys import hash_keys
from registry.spec.masks import is_hash

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from django.contrib.auth.models import User

    from registry.models import Project
    from registry.spec.model import FeatureViewSpec
    from registry.spec.version_spec import VersionSpec


MADE = "project.mask_key_made"


def wants_key(view: FeatureViewSpec) -> bool:
    return any(is_hash(feature.mask) for feature in view.features)


def identity_for(view: FeatureViewSpec, project: Project) -> str:
    """Return what a version of the view names the project's newest key by.

    Empty where it has no hashes, and in a plan before the project has a key.
    """
    return newest_identity(project) if wants_key(view) else ""


def newest_identity(project: Project) -> str:
    """Return the identity of the project's newest key; empty: it has none yet."""
    keys = MaskKey.objects.filter(project=project).order_by("-number")
    return keys.values_list("identity", flat=True).first() or ""


def require_key(project: Project, actor: User, at: datetime) -> None:
    """Make the project's first key, where it has none yet."""
    if newest_identity(project):
        return
    # Where somebody else does at the same time, theirs is the first.
    with suppress(IntegrityError):
        make_key(project, actor, at)


@transaction.atomic
def make_key(project: Project, actor: User, at: datetime, *, number: int = 1) -> MaskKey:
    """Make a key of a project: versions that are registered from now on have the newest.

    Its entry in the trail comes first, and says by a digest which secret it is.
    """
    secret = secrets.token_bytes(KEY_BYTES)
    key = MaskKey(project=project, number=number, made_at=at, digest=digest_of(secret))
    key.wrapped = aes_key_wrap(_wrapping(key, settings.AUDIT_KEYS[0]), secret)
    after = {"key": key.identity, "digest": key.digest}
    audit.record(actor=actor, verb=MADE, subject=project, after=after, at=at)
    key.save(force_insert=True)
    return key


def digest_of(secret: bytes) -> str:
    """Return what tells one secret from another, and nothing of it: it has 32 random bytes."""
    return hashlib.sha256(b"mask key" + secret).hexdigest()


def secret_of(key: MaskKey) -> bytes:
    """Return the secret of a key; empty where none of the server's keys has wrapped it."""
    for outer in settings.AUDIT_KEYS:
        with suppress(InvalidUnwrap):
            secret = aes_key_unwrap(_wrapping(key, outer), bytes(key.wrapped))
            return secret if digest_of(secret) == key.digest else b""
    return b""


def _wrapping(key: MaskKey, outer: str) -> bytes:
    """Return what wraps this secret and no other (RFC 3394)."""
    return hmac.digest(outer.encode(), f"mask key {key.identity}".encode(), "sha256")


def keys_of(spec: VersionSpec) -> dict[str, bytes]:
    """Return what a version's features are hashed with; nothing where the key it names is gone.

    For what is stored, and is compared with that; anything else is tried out with ``trial_keys``.
    """
    if not spec.has_hashes:
        return {}
    key = MaskKey.objects.filter(identity=spec.mask_key).first()
    secret = secret_of(key) if key is not None else b""
    return hash_keys(spec, secret) if secret else {}


def trial_keys() -> Callable[[VersionSpec], dict[str, bytes]]:
    """Return keys for trying versions out before anybody agreed to them, all of one secret.

    The secret is nowhere else: what is shown of a trial is not the hash of anything stored.
    """
    secret = secrets.token_bytes(KEY_BYTES)
    return lambda spec: hash_keys(spec, secret)
