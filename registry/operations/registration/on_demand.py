"""From an on-demand view's definition to a draft: what it is computed from has to be there.

Not for the draft itself: ``drafts`` decides, as for every view.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from lib.errors import AssayError
from registry.newest import newest_of
from registry.operations.lifecycle.numbers import VersionTaken, VersionTooLow
from registry.operations.registration.drafts import decide_draft
from registry.operations.registration.references import Catalogue
from registry.operations.registration.view_drafts import base_problems
from registry.spec.model import VersionSpec, stored_view
from registry.spec.references import parse_reference

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.operations.registration.applied import Application, Applied
    from registry.operations.registration.standing import Standing
    from registry.reading.findings import Found
    from registry.reading.parsing import Definition
    from registry.spec.on_demand import OnDemandViewSpec


def decide_on_demand_view(application: Application, definition: Definition) -> Applied | None:
    """Decide on one view's draft; on problems add them to the application and return None."""
    view = cast("OnDemandViewSpec", definition.spec)
    spec = VersionSpec(view=stored_view(view))
    found = [*_name_problems(application.standing, view), *_input_problems(application, view)]
    found += base_problems(application.standing, spec)
    applied = None
    if not found:
        try:
            applied = decide_draft(application, spec, editor_ids=set())
        except (VersionTaken, VersionTooLow) as exc:
            found.append((("version",), exc.message))
    if found:
        application.refused_views.add(view.name)
    for path, message in found:
        application.refuse(definition.problem(path, message))
    return applied


def _name_problems(standing: Standing, view: OnDemandViewSpec) -> Iterator[Found]:
    """A name means one kind of view for ever: readers of one would get the other."""
    newest = newest_of(standing.versions.get(view.name, ()))
    if newest is not None and newest.spec.transform.is_stored:
        yield ("name",), f"{view.name!r} is a FeatureView already; take another name."


def _input_problems(application: Application, view: OnDemandViewSpec) -> Iterator[Found]:
    catalogue = Catalogue(application)
    for index, text in enumerate(view.inputs.features):
        reference = parse_reference(text)
        if reference.view in application.refused_views:
            continue
        path = ("inputs", "features", index)
        try:
            version, _ = catalogue.find(reference)
        except AssayError as exc:
            yield path, exc.message
            continue
        if not version.spec.transform.is_stored:
            yield path, f"{version} is computed at the request itself; name stored features."
