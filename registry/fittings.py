"""What encodings are fitted to: named at submit, found out by a worker, the same ever after.

Not for fitting (``materialization.transforms.encoding``). A version's data fingerprint has the
identities of its fittings, so versions that share a table share their parameters.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db.models import Func, IntegerField, Sum
from msgspec.structs import replace

from registry.choices import SUBMITTED_STATES, State
from registry.models import FeatureViewVersion, Fitting
from registry.spec.encodes import decides
from registry.spec.fingerprints import canonical_json, data_content, fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from django.contrib.auth.models import User

    from registry.models import FeatureView, Project
    from registry.spec.model import FeatureSpec
    from registry.spec.version_spec import VersionSpec

#: What of a version's data says which features there are, and not which rows.
_OF_FEATURES = (
    "features", "masks", "mask_key", "encodes", "fittings", "checks", "start",
)  # fmt: skip
#: What else of one that aggregates does not: how sparsely ticks are stored, and other outputs.
_OF_TICKS = ("aggregations", "ttl", "accuracy")
#: Of each step in order; of one that is not fitted nothing.
Parameters = tuple[dict[str, Any], ...]


def assigned(version: FeatureViewVersion, spec: VersionSpec, *, at: datetime) -> dict[str, str]:
    """Return the identity of each fitting that a submission has; new ones wait for a worker.

    What another version of the view was submitted with is taken over where nothing that decides it
    differs: a word more in a description fits nothing anew. A version that is submitted again is
    fitted again.
    """
    return {each.name: _assigned(version, spec, each, at) for each in spec.fitted_features}


def _assigned(
    version: FeatureViewVersion, spec: VersionSpec, feature: FeatureSpec, at: datetime
) -> str:
    content = fingerprint(_content(spec, feature))
    others = Fitting.objects.filter(
        content=content,
        version__feature_view=version.feature_view_id,
        version__state__in=SUBMITTED_STATES,
    ).exclude(version=version)
    there = others.order_by("-pk").first()
    if there is None:
        there = Fitting.objects.create(version=version, content=content, made_at=at)
    return there.identity


def _content(spec: VersionSpec, feature: FeatureSpec) -> dict[str, Any]:
    """Return what decides a feature's parameters, rows of the source aside."""
    if feature.encode is None:
        raise LookupError(f"{feature.name} has no encoding")
    # Of this one alone: the types of the columns that another feature reads decide nothing of it.
    read = spec.view.aggregates_of(feature)
    outputs = {each.source_column for each in read.values()} | {feature.label}
    view = replace(
        spec.view, features=(feature,),
        aggregations=tuple(each for each in spec.view.aggregations if outputs & {*each.outputs()}),
    )  # fmt: skip
    alone = replace(spec, view=view)
    rows = {key: said for key, said in data_content(alone).items() if key not in _OF_FEATURES}
    said: dict[str, Any] = {"columns": feature.columns_read, "encode": decides(feature.encode)}
    if read:
        for key in _OF_TICKS:
            rows.pop(key, None)
        known = spec.view.aggregate_outputs()
        said["label"] = known[feature.label] if feature.label is not None else None
        said["aggregates"] = {
            name: (str(each.unencoded.value_type), known[each.source_column])
            for name, each in read.items()
        }
    return rows | {"join_keys": spec.join_keys} | said


class Fitted(NamedTuple):
    """What one encoding is fitted to, and how many rows its range had.

    ``rows_of``: the version whose table had them, of what came from ``rows_since`` to
    ``fitted_at``; empty: the source itself.
    """

    parameters: Parameters
    rows: int
    rows_of: str
    rows_since: datetime | None
    fitted_at: datetime | None


def fittings_of(spec: VersionSpec) -> dict[str, Fitted]:
    """Return, by feature, what a version's encodings are fitted to, leaving out what is not yet."""
    if not spec.fittings:
        return {}
    there = Fitting.objects.filter(identity__in=spec.fittings.values()).exclude(parameters="")
    read = {
        each.identity: Fitted(
            tuple(json.loads(each.parameters)),
            each.rows,
            each.rows_of,
            each.rows_since,
            each.fitted_at,
        )
        for each in there
    }
    return {name: read[known] for name, known in spec.fittings.items() if known in read}


def fitted_of(spec: VersionSpec) -> dict[str, Parameters]:
    """Return the parameters of ``fittings_of``: what an engine needs."""
    return {name: each.parameters for name, each in fittings_of(spec).items()}


def lacking(spec: VersionSpec) -> list[str]:
    """Return the features of a submitted version whose encodings are not fitted yet."""
    there = fitted_of(spec)
    return [each.name for each in spec.fitted_features if each.name not in there]


class _Bytes(Func):
    """How many bytes a text takes, which are more than its characters in most scripts."""

    function, output_field = "OCTET_LENGTH", IntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = "LENGTH(CAST(%(expressions)s AS BLOB))"
        return super().as_sql(compiler, connection, template=template, **context)


def kept_bytes(project: Project, *, in_review_of: User | None = None) -> int:
    """Return the bytes that all encodings of a project are fitted to.

    Or those alone that were made for what somebody submitted and nobody has decided on.
    """
    own = Fitting.objects.filter(version__feature_view__project=project)
    if in_review_of is not None:
        own = own.filter(version__state=State.IN_REVIEW, version__submitted_by=in_review_of)
    return own.aggregate(sum=Sum(_Bytes("parameters")))["sum"] or 0


def release(feature_view: FeatureView) -> None:
    """Remove what was found out for submissions that came back, unless one that stands has it too.

    Under the project's lock, as every step of the lifecycle: nobody takes it over meanwhile.
    """
    submitted = FeatureViewVersion.objects.filter(
        feature_view=feature_view, state__in=SUBMITTED_STATES
    )
    back = Fitting.objects.filter(version__feature_view=feature_view).exclude(
        version__state__in=SUBMITTED_STATES
    )
    if back.exists():
        named = {known for each in submitted for known in each.spec.fittings.values()}
        back.exclude(identity__in=named).delete()


def keep(
    spec: VersionSpec,
    fitted: Mapping[str, Sequence[dict[str, Any]]],
    *,
    rows: Mapping[str, int],
    at: datetime,
    rows_of: str = "",
    rows_since: datetime | None = None,
) -> None:
    """Store what was found out of the rows as of ``at``; what another worker stored stays.

    ``rows_of`` and ``rows_since`` as in ``Fitted``.
    """
    for name, parameters in fitted.items():
        waiting = Fitting.objects.filter(identity=spec.fittings[name], parameters="")
        whose = {"rows": rows[name], "rows_of": rows_of, "rows_since": rows_since}
        waiting.update(parameters=canonical_json(list(parameters)), fitted_at=at, **whose)
