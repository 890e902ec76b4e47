"""Runs over HTTP: ask for them, watch them, cancel them."""

from __future__ import annotations

from functools import partial
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any, ClassVar

from django.conf import settings
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.response import Response

from lib.answer_schemas import answers, pages
from lib.api import API, described
from lib.bodies import small_object
from lib.body_schemas import INSTANT, TEXTS, YES_OR_NO, object_of
from lib.clock import database_now
from lib.errors import NotFound
from lib.instants import sent_instant
from lib.parameters import PAGE, flag, one_of, paged
from materialization.api.filters import SAYS, of_view
from materialization.api.serializers import RunAnswer, RunsAnswer, run_output
from materialization.choices import RunStatus
from materialization.disclosure import Disclosure
from materialization.models import MaterializationRun
from materialization.requests.awaiting import await_end
from materialization.requests.cancelling import cancel_run
from materialization.requests.pausing import pause_run, resume_run
from materialization.requests.recomputing import request_backfill
from materialization.requests.runs import NotMaterializable, request_runs
from materialization.windows import BadWindow
from registry import access
from registry.choices import Right
from registry.models import FeatureView
from registry.queries import ReferenceNotFound, served_versions
from registry.scopes import told_to

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from django.db.models import QuerySet
    from rest_framework.request import Request

    from registry.models import FeatureViewVersion, Project


class RunNotFound(NotFound):
    code = "run_not_found"


def places_to_wait(threads: int) -> BoundedSemaphore:
    """Give the places of a process: who waits holds a thread, and the other half answers others.

    Where there is one thread nobody waits.
    """
    return BoundedSemaphore(threads // 2)


_places = places_to_wait(settings.WEB_THREADS)
#: What only callers of Feast's server send, where it means nothing unless it is true.
_FEASTS = ("disable_event_timestamp", "full_feature_names")
_TO_AN_END = {"end_ts": INSTANT, "feature_views": TEXTS, "full_feature_names": YES_OR_NO}
_BODY = object_of(
    ("start_ts", "end_ts"), start_ts=INSTANT, **_TO_AN_END, disable_event_timestamp=YES_OR_NO
)


class MaterializeAPI(API):
    """``{"start_ts", "end_ts", "feature_views"?}``: a run of each served version of the views.

    Answers at once. With ``async=false``, or to those who write as to Feast's server, when the runs
    have ended, as that does: 200, and 202 where they have not after a while.
    """

    attempt = "starting a run"
    incremental: ClassVar[bool] = False
    parameters: ClassVar[dict[str, str]] = {
        "async": "true (answer at once) or false (when the runs have ended, within a limit)"
    }
    #: What the body may say.
    keys: ClassVar[tuple[str, ...]] = ("start_ts", "end_ts", "feature_views", *_FEASTS)

    @extend_schema(
        operation_id="materialize",
        request=_BODY,
        parameters=described(parameters),
        responses={**answers(RunsAnswer), **answers(RunsAnswer, 202)},
    )
    def post(self, request: Request, project: str) -> Response:
        found = access.access_project(request.user, project)
        body = small_object(request, self.keys)
        waits = _waits(request, body)
        if body.get("disable_event_timestamp"):
            raise BadWindow("disable_event_timestamp is not offered: a run has a window.")
        start = None if self.incremental else _instant(body, "start_ts")
        end = _instant(body, "end_ts")
        versions = _versions(found, body.get("feature_views"), request)
        now = database_now()
        runs = request_runs(
            versions=versions,
            window_start=start,
            window_end=end,
            at=now,
            actor=access.acting_user(request),
        )
        ended = waits and _ended(runs)
        if ended:
            numbers, now = [run.pk for run in runs], database_now()
            runs = list(_runs(request, project).filter(pk__in=numbers).order_by("pk"))
        shown = Disclosure(request.user, at=now)
        answer: RunsAnswer = {"runs": [run_output(run, shown, at=now) for run in runs]}
        return Response(answer, status=200 if ended else 202)


@extend_schema_view(
    post=extend_schema(
        operation_id="materialize_incremental", request=object_of(("end_ts",), **_TO_AN_END)
    )
)
class MaterializeIncrementalAPI(MaterializeAPI):
    """``{"end_ts", "feature_views"?}``: the same from where each table's coverage ends."""

    incremental = True
    keys = ("end_ts", "feature_views", "full_feature_names")


class BackfillAPI(API):
    """``{"start_ts"?, "end_ts"?}``: one version stored anew there; without a bound all there is."""

    attempt = "backfilling {name}@{version}"

    @extend_schema(
        operation_id="backfill_version",
        request=object_of(start_ts=INSTANT, end_ts=INSTANT),
        responses=answers(RunAnswer, 202),
    )
    def post(self, request: Request, project: str, name: str, version: str) -> Response:
        found = access.access_version(request.user, project, name, version)
        body, now = small_object(request, ("start_ts", "end_ts")), database_now()
        run = request_backfill(
            version=found,
            start=_instant(body, "start_ts") if body.get("start_ts") is not None else None,
            end=_instant(body, "end_ts") if body.get("end_ts") is not None else None,
            at=now,
            actor=access.acting_user(request),
        )
        return Response(run_output(run, Disclosure(request.user, at=now), at=now), status=202)


class RunsAPI(API):
    """The runs of a project, newest first."""

    attempt = "listing runs"
    parameters: ClassVar[dict[str, str]] = {
        "feature_view": SAYS,
        "status": ", ".join(RunStatus),
        **PAGE,
    }

    @extend_schema(
        operation_id="list_runs",
        parameters=described(parameters),
        responses=pages(RunAnswer),
    )
    def get(self, request: Request, project: str) -> Response:
        runs = of_view(_runs(request, project), request, project)
        if status := one_of(request.query_params, "status", RunStatus):
            runs = runs.filter(status=status)
        shown = partial(
            run_output, shown=Disclosure(request.user, at=timezone.now()), at=database_now()
        )
        return paged(request, runs, shown)


class RunAPI(API):
    """One run: how far it is, and how it ended."""

    attempt = "looking at run {run_id}"

    @extend_schema(operation_id="get_run", responses=answers(RunAnswer))
    def get(self, request: Request, project: str, run_id: int) -> Response:
        run = _run(request, project, run_id)
        return Response(
            run_output(run, Disclosure(request.user, at=timezone.now()), at=database_now())
        )


class _ChangeRunAPI(API):
    """``POST`` without a body; answers the run."""

    change: ClassVar[Callable[..., MaterializationRun]]

    @extend_schema(request=None, responses=answers(RunAnswer))
    def post(self, request: Request, project: str, run_id: int) -> Response:
        run = _run(request, project, run_id)
        small_object(request, known=())
        now = database_now()
        changed = type(self).change(run=run, actor=access.acting_user(request), at=now)
        return Response(run_output(changed, Disclosure(request.user, at=now), at=now))


@extend_schema_view(post=extend_schema(operation_id="cancel_run"))
class CancelRunAPI(_ChangeRunAPI):
    """``POST`` without a body: ends a run, at once or at its next heartbeat."""

    attempt = "cancelling run {run_id}"
    change = cancel_run


@extend_schema_view(post=extend_schema(operation_id="pause_run"))
class PauseRunAPI(_ChangeRunAPI):
    """``POST`` without a body: lets a run lie, at once or at its next heartbeat."""

    attempt = "pausing run {run_id}"
    change = pause_run


@extend_schema_view(post=extend_schema(operation_id="resume_run"))
class ResumeRunAPI(_ChangeRunAPI):
    """``POST`` without a body: lets a paused run go on where it stopped."""

    attempt = "resuming run {run_id}"
    change = resume_run


def _waits(request: Request, body: dict[str, Any]) -> bool:
    """Tell whether who asks wants the answer when all is done."""
    if "async" in request.query_params:
        return not flag(request.query_params, "async")
    return any(name in body for name in _FEASTS)


def _ended(runs: list[MaterializationRun]) -> bool:
    """Wait for runs; tell whether they have ended. Where others wait already it does not.

    :raises RunFailed: some did not succeed.
    """
    if not _places.acquire(blocking=False):
        return False
    try:
        return await_end(runs, seconds=settings.MATERIALIZE_WAIT_SECONDS)
    finally:
        _places.release()


def _runs(request: Request, project: str) -> QuerySet[MaterializationRun]:
    found = access.access_project(request.user, project)
    runs = MaterializationRun.objects.filter(version__feature_view__project=found)
    runs = told_to(request.user, runs, "version__feature_view")
    return runs.select_related(
        "version__feature_view__project", "requested_by", "table", "quarantine"
    )


def _run(request: Request, project: str, run_id: int) -> MaterializationRun:
    run = _runs(request, project).filter(pk=run_id).first()
    if run is None:
        raise RunNotFound(
            f"project {project} has no run {run_id}. Runs that ended more than"
            f" {settings.HISTORY_DAYS} days ago expire; the trail has them."
        )
    return run


def _versions(project: Project, names: Any, request: Request) -> list[FeatureViewVersion]:
    """Return the served versions of the named views, of all views without names."""
    versions = (
        served_versions()
        .filter(feature_view__project=project)
        .order_by("feature_view__name", "major", "minor", "patch")
    )
    if names is None:
        access.require(request.user, Right.MATERIALIZE_FEATUREVIEW, project)
        return list(versions)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BadWindow("feature_views is a list of names; leave it out for all.")
    known = {view.name: view for view in FeatureView.objects.filter(project=project)}
    for name in names:
        if name not in known:
            valid = ", ".join(sorted(known))
            raise ReferenceNotFound(
                f"project {project} has no feature view {name!r}. Valid: {valid}."
            )
        access.require(request.user, Right.MATERIALIZE_FEATUREVIEW, known[name])
    found = list(versions.filter(feature_view__name__in=names))
    if idle := sorted(set(names) - {version.feature_view.name for version in found}):
        raise NotMaterializable(f"{', '.join(idle)}: no version is approved; nothing to run.")
    return found


def _instant(body: dict[str, Any], name: str) -> datetime:
    return sent_instant(name, body.get(name), BadWindow)
