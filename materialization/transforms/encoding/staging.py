# ruff: noqa: S608 - columns are names of our own
"""Encodings applied: stages of SELECTs over typed rows, each with one step further. [pure]

There is no other way: what is stored, read online and fitted further goes through here. Not for
what a step does (``kinds``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from materialization.errors import NotFitted
from materialization.transforms.encoding.kinds import kind_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from registry.spec.encodes import EncodeSpec
    from registry.spec.model import FeatureSpec
    from registry.spec.version_spec import VersionSpec


def encoded(
    spec: VersionSpec,
    rows: str,
    *,
    beside: Sequence[str] = ("c",),
    features: Collection[str] | None = None,
) -> str:
    """Return typed rows, ``k0…, e, c, f0…``, with what is stored in place of what is encoded.

    ``beside`` are the columns that stand there too; ``features``: those that do (None: all).

    :raises NotFitted: an encoding has no parameters.
    """
    stages = {
        n: _of_feature(each, f"f{n}", spec)
        for n, each in enumerate(spec.features)
        if features is None or each.name in features
    }
    others = [*(f"k{n}" for n, _ in enumerate(spec.join_keys)), "e", *beside]
    for depth in range(max(map(len, stages.values()), default=0)):
        made = [
            f"{stage[depth]} AS f{n}" if depth < len(stage) else f"f{n}"
            for n, stage in stages.items()
        ]
        rows = f"SELECT {', '.join([*others, *made])} FROM ({rows})"
    return rows


def stages_of(encode: EncodeSpec, fitted: Sequence[Mapping[str, Any]], v: str) -> list[str]:
    """Return the stages of the first steps, as many as there are parameters."""
    steps = zip(encode.all_steps, fitted, strict=False)
    return [sql for step, own in steps for sql in kind_of(step).stages(step, own, v)]


def _of_feature(feature: FeatureSpec, v: str, spec: VersionSpec) -> list[str]:
    if feature.encode is None:
        return []
    fitted = parameters_of(feature, feature.encode, spec)
    *before, last = stages_of(feature.encode, fitted, v)
    return [*before, f"CAST({last} AS {feature.value_type.duckdb})"]


def parameters_of(
    feature: FeatureSpec, encode: EncodeSpec, spec: VersionSpec
) -> Sequence[Mapping[str, Any]]:
    """Return what each step of a feature's encoding is fitted to; of others nothing.

    :raises NotFitted: that is not at hand.
    """
    steps = encode.all_steps
    fitted = spec.fitted.get(feature.name) if feature.is_fitted else ({},) * len(steps)
    if fitted is None or len(fitted) != len(steps):
        raise NotFitted(
            f"{feature.name}: what its encoding is fitted to is not at hand; it is found out once,"
            " after its version is submitted."
        )
    return fitted
