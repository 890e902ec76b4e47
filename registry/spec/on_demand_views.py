"""On-demand views as versions keep them, and back: views of no source and no entities. [pure]

Not for what one says (``on_demand``).
"""

from __future__ import annotations

from registry.spec.base import Described
from registry.spec.model import FeatureSpec, FeatureViewSpec
from registry.spec.on_demand import OnDemandFeature, OnDemandViewSpec
from registry.spec.row_sql import check_expression


def stored_view(view: OnDemandViewSpec) -> FeatureViewSpec:
    """Return an on-demand view as versions keep it: a view of no source and no entities.

    :raises BadSql: an expression may not be run.
    """
    features = (
        FeatureSpec(
            name=each.name,
            type=each.type,
            description=each.description,
            unit=each.unit,
            sensitivity=each.sensitivity,
            sql=check_expression(each.sql),
        )
        for each in view.features
    )
    words = {name: getattr(view, name) for name in Described.__struct_fields__}
    return FeatureViewSpec(
        **words,
        version=view.version,
        based_on=view.based_on,
        entities=(),
        source="",
        inputs=view.inputs,
        features=tuple(features),
    )


def on_demand_view(view: FeatureViewSpec) -> OnDemandViewSpec:
    """Return the definition that ``stored_view`` made this of.

    :raises LookupError: it is no on-demand view.
    """
    if view.inputs is None:
        raise LookupError(f"{view.name} is computed from a source, not at the request")
    features = (
        OnDemandFeature(
            name=each.name,
            type=each.type,
            sql=each.sql or "",
            description=each.description,
            unit=each.unit,
            sensitivity=each.sensitivity,
        )
        for each in view.features
    )
    words = {name: getattr(view, name) for name in Described.__struct_fields__}
    return OnDemandViewSpec(
        **words,
        version=view.version,
        based_on=view.based_on,
        inputs=view.inputs,
        features=tuple(features),
    )
