"""Which features of a version hash alike, and the key of each, made of a secret. [pure]

Not for keeping secrets (``registry.mask_keys``) or for hashing with them.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from registry.spec.fingerprints import canonical_json
from registry.spec.lineage import origins_of
from registry.spec.made_of import place_of
from registry.spec.masks import is_hash, shared_name

if TYPE_CHECKING:
    from registry.spec.model import VersionSpec


def hash_keys(spec: VersionSpec, secret: bytes) -> dict[str, bytes]:
    """Return the key of each feature that is a hash.

    Two are equal where both have one name for it or, without, are made of the same columns of the
    same place: nobody learns the hashes of a column by hashing guesses of their own.
    """
    if not spec.has_hashes:
        return {}
    origins, place = origins_of(spec), place_of(spec)
    where = [place.root, place.path] if place.path else [place.source]
    keys = {}
    for feature in spec.features:
        if is_hash(feature.mask):
            columns = sorted(column.lower() for column in origins[feature.name].columns)
            name = shared_name(feature.mask)
            domain = canonical_json({"name": name} if name else {"of": where, "columns": columns})
            keys[feature.name] = hmac.new(secret, domain.encode(), hashlib.sha256).digest()
    return keys
