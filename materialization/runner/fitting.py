"""Fitting the encodings of a submission, and telling a reviewer what they were fitted to.

Not for how a step is fitted (``transforms.encoding``) or where it is kept (``registry.fittings``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from django.conf import settings

from materialization.compute.jobs import FitJob
from materialization.errors import FitFailed
from registry.evidence import computed, not_applicable
from registry.fittings import fitted_of, fittings_of, keep, kept_bytes, lacking

if TYPE_CHECKING:
    from datetime import datetime

    from materialization.quality.evidence.trial import Bounds, Subject
    from registry.models import FeatureViewVersion

#: What one person's undecided submissions may take of a project's room, so that others have some.
_SHARE = 4
#: Why there is nothing of it.
NONE_FITTED = "none of its features has an encoding that is fitted."


def fit_submission(
    subject: Subject, bounds: Bounds, *, version: FeatureViewVersion, at: datetime
) -> dict[str, Any]:
    """Fit what is not fitted yet, and return the part of the evidence that shows all of it.

    :raises AssayError: as ``Engine.fit``, or the project has no room; then none of it is stored.
    """
    spec, source = subject
    if not spec.fitted_features:
        return not_applicable(NONE_FITTED)
    if names := lacking(spec):
        _require_room(version)
        kept = sum(len(msgspec.json.encode(each)) for each in fitted_of(spec).values())
        job = FitJob(spec, source, tuple(names), kept)
        made = bounds.engine.fit(job, watch=bounds.watch)
        keep(spec, made.parameters, rows=made.rows, at=at)
    there = fittings_of(spec)
    if lacking(spec):
        raise FitFailed("it came back from review while it was fitted; submit it again.")
    facts = {
        each.name: {"encoding": each.encoded, "rows": there[each.name].rows}
        for each in spec.fitted_features
    }
    values = {name: list(each.parameters) for name, each in there.items()}
    return computed({"features": facts}, values)


def _require_room(version: FeatureViewVersion) -> None:
    """:raises FitFailed: what is fitted takes all it may, of the project or of one in review."""
    project, most = version.feature_view.project, settings.FITTINGS_MAX_MB * 1_000_000
    if (kept := kept_bytes(project)) > most:
        raise FitFailed(
            f"what the encodings of {project.name} are fitted to takes {kept:,} bytes, and at most"
            f" {settings.FITTINGS_MAX_MB} MB may be. Withdraw or reject submissions that nobody"
            " needs, which frees what was fitted for them, have fewer categories, terms or"
            " quantiles, or let the operator raise FITTINGS_MAX_MB."
        )
    author = version.submitted_by
    if author is not None and (own := kept_bytes(project, in_review_of=author)) > most / _SHARE:
        raise FitFailed(
            f"what was fitted for submissions of {author.get_username()} that are in review takes"
            f" {own:,} bytes: one person's may take a quarter of the {settings.FITTINGS_MAX_MB} MB"
            f" of {project.name}. Have some of them decided, or withdraw them, and submit this one"
            " again."
        )
