"""What of a version decides its rows, what are only words, and the fingerprints of both. [pure]

Not for judging a change between two versions: ``change`` does.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from registry.choices import CheckSeverity
from registry.spec.checks import ViewChecks, blocking
from registry.spec.encodes import decides
from registry.spec.transforms import KEYED
from registry.spec.view_reads import decides as decides_of_reads

if TYPE_CHECKING:
    from registry.spec.joins import JoinedSource
    from registry.spec.version_spec import VersionSpec

_TRANSFORM_KEYS = tuple(str(kind.key) for kind in KEYED)


def canonical_json(value: object) -> str:
    """Return JSON that is equal for equal values: sorted keys, defaults left out, UTF-8."""
    return msgspec.json.encode(value, order="sorted").decode()


def version_content(spec: VersionSpec) -> dict[str, Any]:
    """Return all that a version means: the spec without the number it asks for and its base."""
    content: dict[str, Any] = msgspec.to_builtins(spec)
    for key in ("version", "based_on"):
        content["view"].pop(key, None)
    return content


def data_content(spec: VersionSpec) -> dict[str, Any]:
    """Return what decides the stored rows; two versions with equal content share one FeatureTable.

    Checks that block count: they decide which rows are published, and a table that two versions
    judged differently would serve the one what it refused. What only warns does not. Schedule and
    TTL count only where the transform says that they decide rows. Of the source's schema the
    columns count that are read.
    """
    view = spec.view
    content: dict[str, Any] = {
        "join_keys": spec.join_keys,
        "source": spec.source.decides() if spec.source else None,
        "root": spec.root_identity,
        **{key: getattr(view, key) for key in _TRANSFORM_KEYS},
        # By name, as the stores lay them out: another order of the same features is the same data.
        "features": [
            (feature.name, str(feature.value_type), feature.source_column, blocking(feature.checks))
            for feature in sorted(view.features, key=lambda feature: feature.name)
        ],
        "start": view.start,
    }
    if view.where is not None:
        content["where"] = view.where
    if spec.joined:
        content["joined"] = joined_content(spec)
    if masks := {each.name: each.mask for each in view.features if each.mask is not None}:
        content["masks"] = masks
    if spec.has_hashes:
        content["mask_key"] = spec.mask_key
    if encodes := {each.name: decides(each.encode) for each in view.features if each.encode}:
        content["encodes"] = encodes
    if spec.fittings:
        content["fittings"] = spec.fittings
    if (checks := blocking(view.checks)) != ViewChecks():
        content["checks"] = checks
    if spec.reads:
        content["reads"] = decides_of_reads(spec.reads)
    if spec.code is not None:
        content["code"] = spec.code
    if spec.schema is not None:
        content["schema"] = spec.schema.of(spec.columns_read)
    builtins: dict[str, Any] = msgspec.to_builtins(content | spec.transform.decides(view))
    return builtins


def joined_content(spec: VersionSpec) -> dict[str, Any]:
    """Return what decides the values of the joined sources' columns, by the sources' names."""
    named = zip(spec.view.sources, spec.joined, spec.columns_joined, strict=True)
    return {
        join.name: {"on": join.on, "ttl": join.ttl_duration, **joined.decides((*join.on, *columns))}
        for join, joined, columns in named
    }


def fingerprint(content: object) -> str:
    """Return the SHA-256 of the canonical JSON, 64 hexadecimal digits."""
    return text_fingerprint(canonical_json(content))


def text_fingerprint(text: str) -> str:
    """Return the same of what ``canonical_json`` wrote before."""
    return hashlib.sha256(text.encode()).hexdigest()


def view_fingerprint(spec: VersionSpec) -> str:
    """Return the fingerprint of what a view's own definition says, without what it embeds."""
    return fingerprint(version_content(spec)["view"])


def data_fingerprint(spec: VersionSpec) -> str:
    return fingerprint(data_content(spec))


def content_fingerprint(spec: VersionSpec) -> str:
    """Return the fingerprint of everything, words included: what an approval binds."""
    return fingerprint(version_content(spec))


def metadata_fingerprint(spec: VersionSpec) -> str:
    """Return the fingerprint of what ``data_content`` leaves out: words, TTL, schedule."""
    content = version_content(spec)
    for key in ("root_identity", "schema", "mask_key", "code", "fittings"):
        content.pop(key, None)
    if spec.reads:
        # The same data may be that of another number.
        content["reads"] = [str(each) for each in spec.reads]
    decides_rows = {
        "view": (*_TRANSFORM_KEYS, "sources", "views", "accuracy", "where", "start"),
        "source": tuple(spec.source.decides()) if spec.source else (),
        "entities": ("join_keys",),
    }
    for part, keys in decides_rows.items():
        inside = content.get(part, {})
        for item in [inside] if isinstance(inside, dict) else inside:
            for key in keys:
                item.pop(key, None)
    if "joined" in content:
        content["joined"] = [_words_of(side) for side in spec.joined]
    for feature in content["view"]["features"]:
        for key in ("type", "column", "sql", "mask", "encode"):
            feature.pop(key, None)
        _keep_warnings(feature)
    _keep_warnings(content["view"])
    return fingerprint(content)


def _words_of(side: JoinedSource) -> dict[str, Any]:
    said: dict[str, Any] = msgspec.to_builtins(side.source)
    return {key: value for key, value in said.items() if key not in side.place_and_times()}


def _keep_warnings(part: dict[str, Any]) -> None:
    """Leave of the checks of a feature, or of a view, what only warns: it decides no row."""
    checks = part.pop("checks", {})
    if checks.get("drift", {}).get("severity") == CheckSeverity.BLOCK:
        del checks["drift"]
    if kept := {key: checks[key] for key in ("warn", "drift") if checks.get(key)}:
        part["checks"] = kept
