"""The key that hashes of a project are made with: which it is, and its secret for the engine.

Not for making hashes (``materialization.transforms.masking``). Nothing but a job's pipe gets the
secret from here.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

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
    from registry.spec.model import FeatureViewSpec, VersionSpec


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
    try:
        with transaction.atomic():
            key = MaskKey.objects.create(project=project, made_at=at)
            verb, after = "project.mask_key_made", {"key": key.identity}
            audit.record(actor=actor, verb=verb, subject=project, after=after, at=at)
    except IntegrityError:  # somebody else did at the same time
        return


def keys_of(spec: VersionSpec) -> dict[str, bytes]:
    """Return what a version's features are hashed with; nothing where the key it names is gone.

    For what is stored, and is compared with that; anything else is tried out with ``trial_keys``.
    """
    if not spec.has_hashes:
        return {}
    found = MaskKey.objects.filter(identity=spec.mask_key)
    secret = found.values_list("secret", flat=True).first()
    return hash_keys(spec, bytes(secret)) if secret else {}


def trial_keys() -> Callable[[VersionSpec], dict[str, bytes]]:
    """Return keys for trying versions out before anybody agreed to them, all of one secret.

    The secret is nowhere else: what is shown of a trial is not the hash of anything stored.
    """
    secret = secrets.token_bytes(KEY_BYTES)
    return lambda spec: hash_keys(spec, secret)
