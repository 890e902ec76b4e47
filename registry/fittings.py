"""What encodings are fitted to: named at submit, found out by a worker, the same ever after.

Not for fitting (``materialization.transforms.encoding``). A version's data fingerprint has the
identities of its fittings, so versions that share a table share their parameters.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace

from registry.choices import SUBMITTED_STATES
from registry.models import Fitting
from registry.spec.encodes import decides
from registry.spec.fingerprints import canonical_json, data_content, fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from registry.models import FeatureViewVersion
    from registry.spec.model import FeatureSpec, VersionSpec

#: What of a version's data says which features there are, and not which rows.
_OF_FEATURES = (
    "features", "masks", "mask_key", "encodes", "fittings", "checks", "start",
)  # fmt: skip
#: Of each step in order; of one that is not fitted nothing.
Parameters = tuple[dict[str, Any], ...]


def assigned(version: FeatureViewVersion, spec: VersionSpec, *, at: datetime) -> dict[str, str]:
    """Return the identity of each fitting that a submission has; new ones wait for a worker.

    What another version of the view was submitted with is taken over where nothing that decides it
    differs: a word more in a description fits nothing anew. A version that is submitted again is
    fitted again.
    """
    return {each.name: _assigned(version, spec, each, at) for each in spec.fitted_features}


def _assigned(
    version: FeatureViewVersion, spec: VersionSpec, feature: FeatureSpec, at: datetime
) -> str:
    content = fingerprint(_content(spec, feature))
    others = Fitting.objects.filter(
        content=content,
        version__feature_view=version.feature_view_id,
        version__state__in=SUBMITTED_STATES,
    ).exclude(version=version)
    there = others.order_by("-pk").first()
    if there is None:
        there = Fitting.objects.create(version=version, content=content, made_at=at)
    return there.identity


def _content(spec: VersionSpec, feature: FeatureSpec) -> dict[str, Any]:
    """Return what decides a feature's parameters, rows of the source aside."""
    if feature.encode is None:
        raise LookupError(f"{feature.name} has no encoding")
    # Of this one alone: the types of the columns that another feature reads decide nothing of it.
    alone = replace(spec, view=replace(spec.view, features=(feature,)))
    rows = {key: said for key, said in data_content(alone).items() if key not in _OF_FEATURES}
    return rows | {
        "join_keys": spec.join_keys, "columns": feature.columns_read,
        "encode": decides(feature.encode),
    }  # fmt: skip


class Fitted(NamedTuple):
    """What one encoding is fitted to, and how many rows its range had."""

    parameters: Parameters
    rows: int


def fittings_of(spec: VersionSpec) -> dict[str, Fitted]:
    """Return, by feature, what a version's encodings are fitted to, leaving out what is not yet."""
    if not spec.fittings:
        return {}
    there = Fitting.objects.filter(identity__in=spec.fittings.values()).exclude(parameters="")
    read = {each.identity: Fitted(tuple(json.loads(each.parameters)), each.rows) for each in there}
    return {name: read[known] for name, known in spec.fittings.items() if known in read}


def fitted_of(spec: VersionSpec) -> dict[str, Parameters]:
    """Return the parameters of ``fittings_of``: what an engine needs."""
    return {name: each.parameters for name, each in fittings_of(spec).items()}


def lacking(spec: VersionSpec) -> list[str]:
    """Return the features of a submitted version whose encodings are not fitted yet."""
    there = fitted_of(spec)
    return [each.name for each in spec.fitted_features if each.name not in there]


def keep(
    spec: VersionSpec,
    fitted: Mapping[str, Sequence[dict[str, Any]]],
    *,
    rows: Mapping[str, int],
    at: datetime,
) -> None:
    """Store what was found out; what another worker stored meanwhile stays."""
    for name, parameters in fitted.items():
        waiting = Fitting.objects.filter(identity=spec.fittings[name], parameters="")
        waiting.update(parameters=canonical_json(list(parameters)), rows=rows[name], fitted_at=at)
