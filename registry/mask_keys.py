"""The key that hashes of a project are made with: which it is, and its secret for the engine.

Not for making hashes (``materialization.transforms.masking``). Nothing but a job's pipe gets the
secret from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction

from registry import audit
from registry.models import MaskKey
from registry.spec.masks import HASH

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User

    from registry.models import Project
    from registry.spec.model import FeatureViewSpec, VersionSpec


def wants_key(view: FeatureViewSpec) -> bool:
    return any(feature.mask == HASH for feature in view.features)


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


def key_of(spec: VersionSpec) -> bytes:
    """Return the secret of the key that a version names; empty: it has no hashes, or it is gone."""
    if not spec.has_hashes:
        return b""
    found = MaskKey.objects.filter(identity=spec.mask_key)
    return bytes(found.values_list("secret", flat=True).first() or b"")
