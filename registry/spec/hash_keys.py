"""Which features of a version hash alike, and the key of each, made of a secret. [pure]

Not for keeping secrets (``registry.mask_keys``) or for hashing with them.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Any

from registry.spec.fingerprints import canonical_json
from registry.spec.made_of import made_of
from registry.spec.masks import is_hash, shared_name

if TYPE_CHECKING:
    from registry.spec.made_of import MadeOf, Place
    from registry.spec.version_spec import VersionSpec


def hash_keys(spec: VersionSpec, secret: bytes) -> dict[str, bytes]:
    """Return the key of each feature that is a hash.

    Two are equal where both have one name for it or, without, are made of the same columns of the
    same place: nobody learns the hashes of a column by hashing guesses of their own.
    """
    if not spec.has_hashes:
        return {}
    keys = {}
    for made in made_of(spec):
        if is_hash(made.mask):
            name = shared_name(made.mask)
            domain = canonical_json({"name": name} if name else _columns(made))
            keys[made.name] = hmac.new(secret, domain.encode(), hashlib.sha256).digest()
    return keys


def _columns(made: MadeOf) -> dict[str, Any]:
    """Return the columns that a feature is made of, and of which place they are."""
    first, *others = [told for told in made.of if told.columns] or made.of[:1]
    said: dict[str, Any] = {"of": _where(first.place), "columns": sorted(first.columns)}
    if others:
        said["joined"] = [[_where(told.place), sorted(told.columns)] for told in others]
    return said


def _where(place: Place) -> list[str]:
    return [place.root, place.path] if place.path else [place.source]
