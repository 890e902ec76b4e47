"""A plan as rows of the database keep it, for workers that perform it later; and back.

Not for the rows themselves: datasets and jobs each have their own. What is computed needs nothing
beside its version, which never changes, and which of the parts each of its inputs is of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from registry.spec.references import Reference
from serving.historical.features import ComputedFeature, JoinedFeature
from serving.historical.plan import TrainingPlan, ViewUse, keys_of, request_of
from serving.on_demand.features import inputs_of, on_demand_feature

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from registry.models import FeatureViewVersion


class KeptPart(NamedTuple):
    """One version that is read, or that features are computed by; ``features`` are all it is for.

    Those that are computed come last, so that places of joined parts are those of the plan's uses.
    """

    version: FeatureViewVersion
    label: str
    key_columns: dict[str, str]
    features: list[str]


class HasVersion(Protocol):
    """A part as it was kept."""

    label: str
    key_columns: dict[str, str]

    @property
    def version(self) -> FeatureViewVersion: ...


def parts_to_keep(plan: TrainingPlan) -> list[KeptPart]:
    """Return all versions that a plan is of, each use of one by itself."""
    joined = [
        KeptPart(use.version, use.label, use.key_columns, list(plan.features_of(place)))
        for place, use in enumerate(plan.uses)
    ]
    computed = [
        KeptPart(version, str(version), {}, _computed_by(version, plan))
        for version in plan.computed
    ]
    return [*joined, *computed]


def _computed_by(version: FeatureViewVersion, plan: TrainingPlan) -> list[str]:
    found = (each.feature for each in plan.columns if isinstance(each, ComputedFeature))
    return list(dict.fromkeys(each.name for each in found if each.version == str(version)))


def columns_to_keep(plan: TrainingPlan) -> list[dict[str, Any]]:
    """Return each column: its part, the feature there, and the parts of what it is computed of."""
    places = {str(each): len(plan.uses) + place for place, each in enumerate(plan.computed)}
    return [
        each._asdict()
        if isinstance(each, JoinedFeature)
        else {
            "name": each.name,
            "part": places[each.feature.version],
            "feature": each.feature.name,
            "type": each.type,
            "inputs": [part for part, _ in each.stored],
        }
        for each in plan.columns
    ]


def references_to_keep(plan: TrainingPlan) -> list[str]:
    """Return each column's feature by the version that it is of."""
    return [
        f"{plan.uses[each.part].version}:{each.feature}"
        if isinstance(each, JoinedFeature)
        else f"{each.feature.version}:{each.feature.name}"
        for each in plan.columns
    ]


def columns_again(
    columns: Sequence[Mapping[str, Any]], parts: Sequence[HasVersion]
) -> tuple[JoinedFeature | ComputedFeature, ...]:
    """Return the columns that ``columns_to_keep`` gave of the plan with these parts.

    :raises OnDemandBroken: an expression does not take the types that it was asked for with.
    """
    return tuple(
        computed_again(each, parts) if "inputs" in each else JoinedFeature(**each)
        for each in columns
    )


def computed_again(column: Mapping[str, Any], parts: Sequence[HasVersion]) -> ComputedFeature:
    """Return one of them that is computed.

    :raises OnDemandBroken: as ``columns_again``.
    """
    version = parts[column["part"]].version
    read = dict(zip(inputs_of(version, column["feature"]), column["inputs"], strict=True))
    types = {each: _type_of(each, parts[place].version) for each, place in read.items()}
    feature = on_demand_feature(version, column["feature"], types)
    stored = tuple((place, each.feature) for each, place in read.items())
    return ComputedFeature(column["name"], feature, stored)


def _type_of(reference: Reference, version: FeatureViewVersion) -> str:
    return next(each.type for each in version.spec.features if each.name == reference.feature)


def plan_again(columns: Sequence[Mapping[str, Any]], parts: Sequence[HasVersion]) -> TrainingPlan:
    """Return the plan that was kept so; what was asked is not in it.

    :raises OnDemandBroken: as ``columns_again``.
    """
    uses = tuple(
        ViewUse(part.label, part.version, part.key_columns)
        for part in parts
        if part.version.spec.transform.is_stored
    )
    again = columns_again(columns, parts)
    computed = tuple(part.version for part in parts if not part.version.spec.transform.is_stored)
    return TrainingPlan(uses, again, (), keys_of(uses), request_of(again), computed)
