"""Fitting the encodings of a submission, and telling a reviewer what they were fitted to.

Not for how a step is fitted (``transforms.encoding``) or where it is kept (``registry.fittings``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from materialization.compute.jobs import FitJob
from registry.evidence import computed, not_applicable
from registry.fittings import fittings_of, keep, lacking

if TYPE_CHECKING:
    from datetime import datetime

    from materialization.quality.evidence.trial import Bounds, Subject

#: Why there is nothing of it.
NONE_FITTED = "none of its features has an encoding that is fitted."


def fit_submission(subject: Subject, bounds: Bounds, *, at: datetime) -> dict[str, Any]:
    """Fit what is not fitted yet, and return the part of the evidence that shows all of it.

    :raises AssayError: as ``Engine.fit``; then none of it is stored.
    """
    spec, source = subject
    if not spec.fitted_features:
        return not_applicable(NONE_FITTED)
    if names := lacking(spec):
        made = bounds.engine.fit(FitJob(spec, source, tuple(names)), watch=bounds.watch)
        keep(spec, made.parameters, rows=made.rows, at=at)
    there = fittings_of(spec)
    facts = {
        each.name: {"encoding": each.encoded, "rows": there[each.name].rows}
        for each in spec.fitted_features
    }
    values = {name: list(each.parameters) for name, each in there.items()}
    return computed({"features": facts}, values)
