"""Profiles over HTTP: what a version's values look like, how far they drifted, a new baseline."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypedDict

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from lib.answer_schemas import Document, Instant, answers
from lib.api import API, described
from lib.bodies import small_object
from lib.body_schemas import TEXT, WHOLE, object_of
from lib.clock import database_now
from lib.errors import Invalid, NotFound, did_you_mean
from lib.instants import timestamp
from lib.parameters import stored_text
from materialization.disclosure import Disclosure
from materialization.quality.history import MAX_RUNS, RUNS, approvers_of, history_of
from materialization.requests.baselines import set_baseline
from registry import access

if TYPE_CHECKING:
    from collections.abc import Callable

    from rest_framework.request import Request

    from materialization.models import Baseline
    from materialization.quality.history import History, Past, Point
    from materialization.quality.profiles import ColumnProfile, Profile
    from registry.models import FeatureViewVersion

    #: What may be shown of a feature's profile.
    Shown: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]

#: What is said of a feature in one run, day or month.
BRIEF = ("rows", "nulls", "nans", "mean", "std", "quantiles", "withheld")


class ProfileAnswer(TypedDict):
    """What the values of features look like; a column a feature."""

    rows: int
    sampled: int
    columns: list[Document]


class BaselineAnswer(TypedDict):
    """The runs whose rows are what is right, who said so and why."""

    set_at: Instant
    set_by: str
    reason: str | None
    runs: int
    first_run: int | None
    last_run: int | None
    rows: int


class BaselineWithProfile(BaselineAnswer):
    approved_by: list[str]
    profile: ProfileAnswer | None


class PointAnswer(TypedDict):
    """One run's part in it, and how far each feature drifted."""

    run: int
    window_end: Instant
    baseline_set_at: Instant | None
    rows: int
    features: dict[str, Document]


class PastAnswer(TypedDict):
    """A day or a month that has the profiles of its runs as one."""

    span: str
    starts_on: str
    runs: int
    rows: int
    features: dict[str, Document]


class HistoryAnswer(TypedDict):
    """The profile of a version's latest runs, its baseline, and each run's part in it."""

    feature_view: str
    version: str | None
    baseline: BaselineWithProfile | None
    profile: ProfileAnswer | None
    runs: list[PointAnswer]
    before: list[PastAnswer]


class BadCount(Invalid):
    code = "invalid_count"


class FeatureNotFound(NotFound):
    code = "feature_not_found"


class BadRuns(Invalid):
    code = "invalid_runs"


class ProfileAPI(API):
    """The profile of a version's latest runs, its baseline, and each run's part in it."""

    attempt = "looking at the profile of {name}@{version}"
    parameters: ClassVar[dict[str, str]] = {
        "feature": "its name; default: all",
        "runs": f"how many of the latest, 1 to {MAX_RUNS}, default {RUNS}",
    }

    @extend_schema(
        operation_id="get_profile",
        parameters=described(parameters),
        responses=answers(HistoryAnswer),
    )
    def get(self, request: Request, project: str, name: str, version: str) -> Response:
        found = access.access_version(request.user, project, name, version)
        names = _names(found, stored_text(request.query_params, "feature"))
        history = history_of(found, runs=_count(request))
        shown = partial(Disclosure(request.user, at=timezone.now()).column, found)
        return Response(_output(history, names, shown))


class BaselineAPI(API):
    """``{"first_run", "last_run", "reason"}``: their rows are what is right from now on."""

    attempt = "setting the baseline of {name}@{version}"
    keys = ("first_run", "last_run", "reason")

    @extend_schema(
        operation_id="set_baseline",
        request=object_of(keys, first_run=WHOLE, last_run=WHOLE, reason=TEXT),
        responses=answers(BaselineAnswer),
    )
    def post(self, request: Request, project: str, name: str, version: str) -> Response:
        found = access.access_version(request.user, project, name, version)
        body = small_object(request, self.keys)
        baseline = set_baseline(
            version=found,
            first_run=_run(body, "first_run"),
            last_run=_run(body, "last_run"),
            reason=_text(body, "reason"),
            actor=access.acting_user(request),
            at=database_now(),
        )
        return Response(_baseline_output(baseline))


def _names(version: FeatureViewVersion, feature: str) -> list[str]:
    """:raises FeatureNotFound: the version has none of that name."""
    names = [each.name for each in version.spec.features]
    if feature and feature not in names:
        raise FeatureNotFound(
            f"{version} has no feature {feature[:100]!r}.{did_you_mean(feature, names)}"
        )
    return [feature] if feature else names


def _count(request: Request) -> int:
    text = stored_text(request.query_params, "runs") or str(RUNS)
    if text.isascii() and text.isdecimal() and len(text) < 5 and 1 <= int(text) <= MAX_RUNS:
        return int(text)
    raise BadCount(f"runs {text[:20]!r}: write 1 to {MAX_RUNS}.")


def _run(body: dict[str, Any], key: str) -> int:
    value = body.get(key)
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**62:
        return value
    raise BadRuns(f"{key} {str(value)[:40]!r}: write the number of a run.")


def _text(body: dict[str, Any], key: str) -> str:
    value = body.get(key)
    return value if isinstance(value, str) else ""


def _output(history: History, names: list[str], shown: Shown) -> HistoryAnswer:
    version = history.version
    return {
        "feature_view": version.feature_view.name,
        "version": version.number,
        "baseline": _baseline(history, names, shown),
        "profile": _profile(history.merged, names, shown),
        "runs": [_point(point, names, shown) for point in history.points],
        "before": [_past(past, names, shown) for past in history.spans],
    }


def _baseline(history: History, names: list[str], shown: Shown) -> BaselineWithProfile | None:
    if history.baseline is None:
        return None
    profile = _profile(history.compared, names, shown)
    approved_by = approvers_of(history.version)
    return {**_baseline_output(history.baseline), "approved_by": approved_by, "profile": profile}


def _baseline_output(baseline: Baseline) -> BaselineAnswer:
    return {
        "set_at": timestamp(baseline.set_at),
        "set_by": baseline.set_by.get_username() if baseline.set_by else "approval",
        "reason": baseline.reason or None,
        "runs": baseline.runs,
        "first_run": baseline.first_run,
        "last_run": baseline.last_run,
        "rows": baseline.rows,
    }


def _profile(profile: Profile | None, names: list[str], shown: Shown) -> ProfileAnswer | None:
    if profile is None:
        return None
    columns = [shown(each.to_json()) for each in profile.columns if each.name in names]
    return {"rows": profile.rows, "sampled": profile.sampled, "columns": columns}


def _brief(column: ColumnProfile, shown: Shown) -> dict[str, Any]:
    said = shown(column.to_json())
    return {key: said[key] for key in BRIEF if key in said}


def _past(past: Past, names: list[str], shown: Shown) -> PastAnswer:
    """Return a day or month that has the profiles of its runs as one."""
    columns = past.columns
    return {
        "span": past.span.span,
        "starts_on": past.span.starts_on.isoformat(),
        "runs": past.span.runs,
        "rows": past.span.rows,
        "features": {name: _brief(columns[name], shown) for name in names if name in columns},
    }


def _point(point: Point, names: list[str], shown: Shown) -> PointAnswer:
    features = {}
    for name in names:
        if (column := point.columns.get(name)) is not None:
            drift = {
                side: found
                for side in ("baseline", "previous")
                if (found := point.drift(side, name))
            }
            features[name] = _brief(column, shown) | {"drift": drift}
    return {
        "run": point.run.pk,
        "window_end": timestamp(point.run.window_end),
        "baseline_set_at": timestamp(point.baseline_set_at) if point.baseline_set_at else None,
        "rows": point.rows,
        "features": features,
    }
