"""Whose rows of the future are refused once a version is approved, in words for who decides.

Not for refusing them: whoever takes pushed rows does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.choices import SERVED_STATES, State
from registry.queries import may_arrive, served_versions
from registry.spec.sources.push import PushSource

if TYPE_CHECKING:
    from collections.abc import Iterable

    from registry.models import FeatureViewVersion
    from registry.spec.version_spec import VersionSpec


def refused_ahead(spec: VersionSpec, versions: Iterable[FeatureViewVersion]) -> list[str]:
    """Say whose rows of the future wait now, and would be refused; nothing where none do.

    ``versions`` are the project's. A row is refused for all that read its source, or for none.
    """
    if not (_is_pushed(spec) and spec.stores_events_only):
        return []
    beside = [
        each
        for each in versions
        if each.state in SERVED_STATES
        and _is_pushed(each.spec)
        and each.spec.rows_from.name == spec.rows_from.name
    ]
    if not beside or any(each.spec.stores_events_only for each in beside):
        return []
    names = sorted({each.feature_view.name for each in beside})
    return [
        f"once it is approved, pushes to {spec.rows_from.name} are refused rows of the future, for"
        f" {', '.join(names)} too, where they wait for their time until then: windows at the"
        " instant of each read keep none. Push such rows when they are true, or to a source of"
        " their own."
    ]


def refused_ahead_of(version: FeatureViewVersion) -> list[str]:
    """Say the same of a version that nobody has decided on yet."""
    spec = version.spec
    if version.state in (*SERVED_STATES, State.RETIRED) or not spec.stores_events_only:
        return []
    project = version.feature_view.project_id
    served = served_versions().filter(may_arrive(), feature_view__project=project)
    return refused_ahead(spec, served.defer("packet").order_by("pk"))


def _is_pushed(spec: VersionSpec) -> bool:
    return isinstance(spec.source, PushSource)
