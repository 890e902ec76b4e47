"""From an on-demand view's definition to a draft: what it is computed from has to be there.

Not for the draft itself: ``drafts`` decides, as for every view.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from lib.errors import AssayError
from registry.looking import get_trying
from registry.newest import newest_of
from registry.operations.lifecycle.numbers import VersionTaken, VersionTooLow
from registry.operations.registration.drafts import decide_draft
from registry.operations.registration.references import Catalogue
from registry.operations.registration.view_drafts import base_problems
from registry.spec.on_demand_views import stored_view
from registry.spec.references import parse_reference
from registry.spec.row_sql import check_expression, columns_of
from registry.spec.scalar.compiling import NOW, compiled, kinds_of
from registry.spec.scalar.kinds import Untyped
from registry.spec.version_spec import VersionSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from registry.operations.registration.applied import Application, Applied
    from registry.operations.registration.standing import Standing
    from registry.reading.findings import Found
    from registry.reading.parsing import Definition
    from registry.spec.on_demand import OnDemandViewSpec


def decide_on_demand_view(application: Application, definition: Definition) -> Applied | None:
    """Decide on one view's draft; on problems add them to the application and return None."""
    view = cast("OnDemandViewSpec", definition.spec)
    spec = VersionSpec(view=stored_view(view))
    types: dict[str, str] = dict(view.inputs.request)
    found = [*_name_problems(application.standing, view)]
    found += _input_problems(application, view, types)
    if not found:
        found += _expression_problems(view, types)
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


def _expression_problems(view: OnDemandViewSpec, types: Mapping[str, str]) -> Iterator[Found]:
    """Say what of the expressions cannot be computed alike at the request and in training sets.

    What has both forms is tried on the engine, so that nothing is registered that it cannot run.
    """
    trials: dict[int, tuple[str, tuple[str, ...]]] = {}
    for index, feature in enumerate(view.features):
        read = columns_of(feature.sql)
        inputs = {name: kind for name, kind in types.items() if name in read}
        if set(read) - {*inputs, NOW}:
            continue  # of a view that is refused itself
        try:
            # As it is stored, and as it is written: what is written anew lacks what has no meaning.
            for text in (check_expression(feature.sql), feature.sql):
                scalar = compiled(text, inputs=inputs, declared=feature.type)
        except Untyped as exc:
            yield ("features", index, "sql"), exc.message
            continue
        trials[index] = scalar.sql, kinds_of(inputs)
    said = get_trying()(list(trials.values())) if trials else ()
    for index, refusal in zip(trials, said, strict=True):
        if refusal is not None:
            yield (
                ("features", index, "sql"),
                f"the engine that computes training sets cannot run it: {refusal}",
            )


def _input_problems(
    application: Application, view: OnDemandViewSpec, types: dict[str, str]
) -> Iterator[Found]:
    """Say which inputs are not there, and enter the types of the others."""
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
        types |= {f.name: f.type for f in version.spec.features if f.name == reference.feature}
