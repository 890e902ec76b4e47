"""Fitting the encodings of a submission, and telling a reviewer what they were fitted to.

Not for how a step is fitted (``transforms.encoding``) or where it is kept (``registry.fittings``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from django.conf import settings

from lib.errors import Unavailable
from materialization.arrived import Keepers, lacking_rows
from materialization.compute.jobs import FitJob
from materialization.edges.stores import offline_store, push_log
from materialization.errors import FitFailed
from materialization.queries import table_at
from materialization.runner.draining import drain
from materialization.sources.inputs import StoredRows
from registry.evidence import computed, not_applicable
from registry.fittings import fitted_of, fittings_of, keep, kept_bytes, lacking

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from materialization.arrived import Arrived
    from materialization.compute.reports import Fit
    from materialization.quality.evidence.trial import Bounds, Subject
    from registry.fittings import Fitted
    from registry.models import FeatureTable, FeatureViewVersion
    from registry.spec.model import FeatureSpec
    from registry.spec.version_spec import VersionSpec

#: What one person's undecided submissions may take of a project's room, so that others have some.
_SHARE = 4
#: Why there is nothing of it.
NONE_FITTED = "none of its features has an encoding that is fitted."


class PushedRowsWait(Unavailable):
    code = "pushed_rows_wait"


class _Fits(NamedTuple):
    """What is fitted on the same rows, those of ``at``; ``rows_of``: whose table has them.

    None: the source.
    """

    job: FitJob
    at: datetime
    rows_of: Arrived | None = None

    @property
    def whose(self) -> dict[str, Any]:
        if self.rows_of is None:
            return {}
        return {"rows_of": str(self.rows_of.version), "rows_since": self.rows_of.table.ready_at}


def fit_submission(
    subject: Subject, bounds: Bounds, *, version: FeatureViewVersion, clock: Callable[[], datetime]
) -> dict[str, Any]:
    """Fit what is not fitted yet, and return the part of the evidence that shows all of it.

    :raises AssayError: as ``Engine.fit``, or the project has no room; then none of it is stored.
    """
    spec, source = subject
    if not spec.fitted_features:
        return not_applicable(NONE_FITTED)
    if names := lacking(spec):
        _require_room(version)
        whole = _Fits(FitJob(spec, source, tuple(names)), clock())
        each = _arrived(version, spec, names, clock) if spec.is_pushed else [whole]
        for fits, made in _fitted(each, spec, bounds):
            keep(spec, made.parameters, rows=made.rows, at=fits.at, **fits.whose)
    there = fittings_of(spec)
    if lacking(spec):
        raise FitFailed("it came back from review while it was fitted; submit it again.")
    facts = {
        each.name: {"encoding": each.encoded, **_rows_told(there[each.name], each)}
        for each in spec.fitted_features
    }
    values = {name: list(each.parameters) for name, each in there.items()}
    return computed({"features": facts}, values)


def _rows_told(fitted: Fitted, feature: FeatureSpec) -> dict[str, Any]:
    """Say on how many rows an encoding is fitted, and whose.

    ``lacks_before``: until when the rows of the range are nowhere, for nobody kept them yet.
    """
    said: dict[str, Any] = {"rows": fitted.rows}
    if not fitted.rows_of:
        return said
    said["rows_of"] = fitted.rows_of
    since, until = fitted.rows_since, fitted.fitted_at
    said["stored_since"], said["stored_until"] = (
        each and each.isoformat() for each in (since, until)
    )
    fit = feature.encode and feature.encode.fit
    if fit and since and fit.window[0] < since:
        said["lacks_before"] = since.isoformat()
    return said


def _fitted(each: Sequence[_Fits], spec: VersionSpec, bounds: Bounds) -> list[tuple[_Fits, Fit]]:
    """Fit all of them, or none: the caller keeps what is returned."""
    kept = sum(len(msgspec.json.encode(known)) for known in fitted_of(spec).values())
    found = []
    for fits in each:
        job = msgspec.structs.replace(fits.job, kept_bytes=kept)
        try:
            made = bounds.engine.fit(job, watch=bounds.watch)
        except FitFailed as exc:
            if fits.rows_of is None:
                raise
            said = f"{exc.message} Its rows are those that {fits.rows_of.version} has stored."
            raise FitFailed(said) from exc
        kept += len(msgspec.json.encode(made.parameters))
        found.append((fits, made))
    return found


def _arrived(
    version: FeatureViewVersion,
    spec: VersionSpec,
    names: Sequence[str],
    clock: Callable[[], datetime],
) -> list[_Fits]:
    """Return what is fitted on rows that came before: those of one table are read together.

    :raises FitFailed: nobody has them as they came.
    :raises PushedRowsWait: some are not in the offline store yet.
    """
    keepers = Keepers(spec.rows_from, version.feature_view.project)
    shared: dict[int, tuple[Arrived, list[str]]] = {}
    for feature in spec.fitted_features:
        if feature.name not in names:
            continue
        if (arrived := keepers.of(spec, feature)) is None:
            raise FitFailed(lacking_rows(spec, feature))
        shared.setdefault(arrived.version.pk, (arrived, []))[1].append(feature.name)
    made = []
    for arrived, features in shared.values():
        rows, at = _stored(arrived, clock)
        made.append(_Fits(FitJob(arrived.read_by(spec), rows, tuple(features)), at, arrived))
    return made


def _stored(arrived: Arrived, clock: Callable[[], datetime]) -> tuple[StoredRows, datetime]:
    """Return all rows of a table that were pushed before this was called, and as of when."""
    _store_pushed(arrived.table)
    at = clock()  # what is stored by now is in the snapshot; storing it may have taken minutes
    files = offline_store().snapshot(table_at(arrived.table)).files
    return StoredRows(tuple(files), arrived.columns), at


def _store_pushed(table: FeatureTable) -> None:
    pushed = push_log()
    until = pushed.last(table.uid)
    drain(table)
    if pushed.entries(table.uid, after=0, until=until, count=1):
        raise PushedRowsWait(
            f"rows that were pushed to {table.feature_view} are being stored, and the encodings are"
            " fitted on them; it is tried again."
        )


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
