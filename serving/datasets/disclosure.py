"""Which of a dataset's hashes and sizes are told to whom: to those alone who may read all its rows.

Of few rows, or few values, a hash or a size is as good as the values: whoever can guess them all
computes each guess. Not for the rows themselves (``reading``) or their profile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from materialization.disclosure import Disclosure
from serving.stored_queries import shows_frame

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import AnonymousUser, User

    from serving.models import Dataset

#: What is said where hashes are left out.
WHY_WITHHELD = (
    "Hashes and sizes are withheld: they say what values are. They take read_offline on each view,"
    " and a grant for each sensitive feature."
)
#: What of a manifest says what values are, by where it is. With the nonce its own hash would.
_HASHES = {
    "frame": ("sha256", "content_hash"),
    "rows": ("sha256", "content_hash", "size"),
}
_OF_CHECKS = ("content_hash", "content_hash_again")


def may_know(dataset: Dataset, user: User | AnonymousUser, *, at: datetime) -> bool:
    """Return whether somebody may read every value of a dataset now, and so know its hashes."""
    shown = Disclosure(user, at=at)
    parts = dataset.parts.select_related("version__feature_view__project")
    shows_all = all(shown.shows(part.version, name) for part in parts for name in part.features)
    return shows_all and shows_frame(dataset, user, at=at)


def without_hashes(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest for those who may not read the rows: null in the place of each hash.

    And of a query's SQL, which has values.
    """
    if not manifest:
        return manifest
    told = {name: _without(manifest[name], hashes) for name, hashes in _HASHES.items()}
    views = [
        {
            **view,
            "files": [_without(file, ("sha256", "size")) for file in view["files"]],
            "parameters_sha256": dict.fromkeys(view["parameters_sha256"]),
        }
        for view in manifest["views"]
    ]
    split = manifest["split"]
    if split:
        parts = [_without(part, ("content_hash",)) for part in split["parts"]]
        split = {**split, "parts": parts}
    request = manifest["request"]
    if query := request.get("entity_query"):
        request = {**request, "entity_query": _without(query, ("sql",))}
    others = {"views": views, "split": split, "request": request}
    return {**_without(manifest, ("nonce",)), **told, **others}


def found_without_hashes(found: dict[str, Any]) -> dict[str, Any]:
    """Return what a check found, for those who may not read the rows."""
    return _without(found, _OF_CHECKS)


def _without(said: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: None if name in names else value for name, value in said.items()}
