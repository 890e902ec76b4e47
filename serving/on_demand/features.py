"""What an on-demand feature is computed with, and its expression in both forms.

Not for fetching its inputs: the reads of either kind do that, each in its way.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from lib.errors import Conflict
from registry.spec.references import Reference, parse_reference
from registry.spec.row_sql import columns_of
from registry.spec.scalar.compiling import compiled
from registry.spec.scalar.kinds import Scalar, Untyped
from registry.spec.value_types import parse_type
from serving.names import check_feature
from serving.on_demand.feature import OnDemandFeature
from serving.values import REQUEST_VALUE, KeyColumn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registry.models import FeatureViewVersion
    from registry.spec.model import FeatureSpec
    from registry.spec.on_demand import OnDemandInputs


class OnDemandBroken(Conflict):
    code = "on_demand_broken"


def inputs_of(version: FeatureViewVersion, feature: str) -> tuple[Reference, ...]:
    """Return the stored features that one of a version's features is computed with.

    :raises ReferenceNotFound: there is no such feature.
    """
    inputs, asked = _of(version, feature)
    named = columns_of(asked.sql or "")
    references = map(parse_reference, inputs.features)
    return tuple(each for each in references if each.feature in named)


def on_demand_feature(
    version: FeatureViewVersion, feature: str, types: Mapping[Reference, str]
) -> OnDemandFeature:
    """Return a feature over inputs of these types, by reference.

    :raises OnDemandBroken: a default that it follows has another type since, which it cannot take.
    """
    inputs, asked = _of(version, feature)
    stored = inputs_of(version, feature)
    named = columns_of(asked.sql or "")
    request = {name: kind for name, kind in inputs.request.items() if name in named}
    given = {each.feature: types[each] for each in stored} | request
    try:
        scalar = _compiled(asked.sql or "", tuple(given.items()), asked.type)
    except Untyped as exc:
        raise OnDemandBroken(
            f"{version}:{feature} cannot be computed with what it reads now: {exc.message} Read"
            " another version, or register one for the types that its inputs have.",
            version=str(version),
            inputs={str(each): types[each] for each in stored},
        ) from exc
    view = version.feature_view.name
    columns = tuple(
        KeyColumn(name, parse_type(kind), view, REQUEST_VALUE) for name, kind in request.items()
    )
    return OnDemandFeature(str(version), feature, asked.type, scalar, stored, columns)


def _of(version: FeatureViewVersion, feature: str) -> tuple[OnDemandInputs, FeatureSpec]:
    view = version.spec.view
    by_name = {each.name: each for each in view.features}
    check_feature(Reference(view.name, None, feature), version, by_name)
    if view.inputs is None:
        raise LookupError(f"{version} is stored")
    return view.inputs, by_name[feature]


@lru_cache(maxsize=4096)
def _compiled(sql: str, inputs: tuple[tuple[str, str], ...], declared: str) -> Scalar:
    return compiled(sql, inputs=dict(inputs), declared=declared)
