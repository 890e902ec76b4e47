"""What masks must satisfy on their own: the types they give, edges in order. [pure]

Not for whether what is masked stands unmasked beside it: a view is resolved before that is known.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from registry.reading.findings import error_of, too_many
from registry.spec.masks import MaskSpec, edge_of, is_hash, shared_name
from registry.spec.transforms import Aggregations, transform_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.reading.findings import Found
    from registry.reading.yaml_documents import Path
    from registry.spec.bounds import Bound
    from registry.spec.masks import Mask
    from registry.spec.model import FeatureSpec, FeatureViewSpec

MAX_EDGES = 100
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
#: Numbers beyond are no edges of anything: every type's values keep clear of them.
MAX_EDGE = 10**15
#: The types each mask gives, and what the second is.
_HASH_TYPES = {"string": "its digits"}
_BUCKET_TYPES = {"string": "labels as in [18, 30)", "int32": "the number of the bucket, from 0"}


def mask_problems(spec: FeatureViewSpec) -> Iterator[Found]:
    """Yield what is wrong with the masks of a view's features."""
    for index, feature in enumerate(spec.features):
        if feature.mask is not None:
            yield from _of_feature(("features", index), feature, feature.mask, spec)


def _of_feature(
    path: Path, feature: FeatureSpec, mask: Mask, spec: FeatureViewSpec
) -> Iterator[Found]:
    if isinstance(transform_of(spec), Aggregations):
        message = (
            f"{feature.name} is an aggregate; a mask is of a column of the source or of `sql`."
            " Leave the mask out, or mask the column in a view without aggregations."
        )
        yield (*path, "mask"), message
        return
    name = shared_name(mask)
    if isinstance(mask, MaskSpec) and (mask.bucket is None) == (mask.hash is None):
        message = f"{feature.name}: write hash, {{hash: email}} or {{bucket: [18, 30, 65]}}."
        yield (*path, "mask"), message
        return
    if isinstance(mask, MaskSpec) and mask.hash is not None and not _NAME.fullmatch(name):
        rule = "use lower-case letters, digits and _, beginning with a letter, at most 63"
        yield (*path, "mask", "hash"), f"{feature.name}: name {name[:100]!r}: {rule}."
    types = _HASH_TYPES if is_hash(mask) else _BUCKET_TYPES
    if feature.type not in types:
        word = "a hash" if is_hash(mask) else "a bucket"
        valid = " or ".join(f"{name} ({what})" for name, what in types.items())
        yield (*path, "type"), f"{feature.name}: {word} is no {feature.type}; write {valid}."
    if isinstance(mask, MaskSpec) and mask.bucket is not None:
        yield from _edges((*path, "mask", "bucket"), feature.name, mask.bucket)


def _edges(path: Path, name: str, given: tuple[Bound, ...]) -> Iterator[Found]:
    if not given:
        yield path, f"{name}: a bucket needs at least one edge, as in [18, 30, 65]."
        return
    if excess := too_many(path, "edges", given, MAX_EDGES):
        yield excess
        return
    wrong = [
        ((*path, index), f"{name}: {error}")
        for index, edge in enumerate(given)
        if (error := error_of(edge_of, edge) or _beyond(edge))
    ]
    yield from wrong
    if wrong:
        return
    if len({isinstance(edge, str) for edge in given}) > 1:
        yield path, f"{name}: edges are all numbers or all days and instants, not both."
        return
    edges = [edge_of(edge) for edge in given]
    for index in range(1, len(edges)):
        if not edges[index - 1] < edges[index]:  # type: ignore[operator]
            low, high = given[index - 1], given[index]
            message = (
                f"{name}: {high} comes after {low}; edges become greater from one to the next."
            )
            yield (*path, index), message
            return


def _beyond(edge: Bound) -> str | None:
    if isinstance(edge, str) or abs(edge) <= MAX_EDGE:
        return None
    return f"{edge} is too large; edges are from {-MAX_EDGE} to {MAX_EDGE}."
