"""Who pushes and to which tables, kept in the process: a push that finds its plan asks no database.

A plan is of the epochs it was made under, and the one step that takes rows looks whether they are
the same still (``push_scripts``): a right that was revoked counts from the next push on. Not for
plans of reads (``serving.online.plan_cache``).
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from lib.errors import Unavailable
from materialization.edges.stores import online_store
from materialization.ingest.targets import targets_of_source, targets_of_view
from materialization.stores.push_command import Seen
from registry import epoch
from registry.models import FeatureViewVersion, Project
from registry.queries import may_arrive
from registry.scopes import networks_of
from serving.ingest.references import meant_by
from serving.online.making import authorise
from serving.online.plan_cache import RegisteredEpochs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from materialization.ingest.targets import Target
    from registry.scopes import Networks
    from serving.online.making import Asker

#: Plans that a process keeps.
CAPACITY = 1_000


class PushQuestion(NamedTuple):
    """What of a request decides its plan: who pushes, in which project, to a source or a view."""

    project: str
    token_digest: str
    source: str = ""
    view: str = ""


class PushPlan(NamedTuple):
    """Everything that a push needs but its rows, and the facts it was made under."""

    user_id: int
    token_id: int
    networks: Networks
    expires_at: datetime
    project_id: int
    targets: tuple[Target, ...]
    #: The views whose facts it holds, those that read the source without being served among them.
    views: tuple[str, ...]
    registered: tuple[str | None, ...]
    seen: Seen
    #: Whether what was seen may be looked for again: else Redis takes no epochs now.
    is_kept: bool


class PushPlans:
    """The least recently used plans leave when there are more than ``capacity``."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._plans: OrderedDict[PushQuestion, PushPlan] = OrderedDict()
        #: The projects and tokens that plans are of.
        self._known: dict[tuple[str, str], None] = {}
        self._capacity, self._lock = capacity, Lock()
        self._registered = RegisteredEpochs()

    def find(self, question: PushQuestion, *, at: datetime) -> PushPlan | None:
        """Return the question's plan, unless the registry has changed since it was made."""
        with self._lock:
            kept = self._plans.get(question)
            if kept is not None:
                self._plans.move_to_end(question)
        if kept is None:
            return None
        known = self._registered.epochs(kept.project_id, kept.views, at=at)
        return kept if kept.registered == known else None

    def make(
        self, question: PushQuestion, *, token: str, at: datetime, environ: Mapping[str, Any]
    ) -> PushPlan:
        """Make a plan from the registry and keep it.

        The epochs are read before the facts: if these change meanwhile, the push sees others.

        :raises Unauthenticated, Forbidden, NotFound: as of who pushes and where to.
        """
        project = Project.objects.filter(name=question.project).first()
        if project is None:
            project = authorise(question, token=token, at=at, environ=environ).project
        try:
            own = epoch.ensure(project.pk)
            server = online_store().read(project.pk, (), ()).server
        except Unavailable:
            # Who may not know that the project exists learns nothing of Redis either.
            authorise(question, token=token, at=at, environ=environ)
            raise
        asker = authorise(question, token=token, at=at, environ=environ)
        views = _views(project, question)
        rows = epoch.Registered(project.epoch, epoch.registered_views(project.pk, views))
        epochs = own + epoch.ensure(project.pk, views)[1:]
        self._registered.note(project.pk, rows, at=at)
        keys = epoch.epoch_keys(project.pk, views)
        seen = Seen({k: v or b"" for k, v in zip(keys, epochs, strict=True)}, server)
        plan = PushPlan(
            user_id=asker.token.user_id,
            token_id=asker.token.pk,
            networks=networks_of(asker.token.networks),
            expires_at=asker.token.expires_at,
            project_id=project.pk,
            targets=tuple(_targets(question, asker)),
            views=tuple(views),
            registered=rows.of(views),
            seen=seen,
            is_kept=None not in epochs,
        )
        if plan.is_kept:
            self._keep(question, plan)
        return plan

    def knows(self, project: str, token_digest: str) -> bool:
        """Tell whether the token had a plan of the project a moment ago: its bodies are read."""
        return (project, token_digest) in self._known

    def clear(self) -> None:
        with self._lock:
            self._plans.clear()
            self._known.clear()

    def _keep(self, question: PushQuestion, plan: PushPlan) -> None:
        with self._lock:
            self._plans[question] = plan
            self._plans.move_to_end(question)
            self._known[question[:2]] = None
            while len(self._plans) > self._capacity:
                self._known.pop(self._plans.popitem(last=False)[0][:2], None)


def _views(project: Project, question: PushQuestion) -> list[str]:
    """Return the views that rows may go to by now or once they are approved: one too many is none.

    A draft comes to read the source by being registered, which changes the project's own epoch.
    """
    versions = FeatureViewVersion.objects.filter(may_arrive(), feature_view__project=project)
    view, _ = meant_by(question.view)
    if not _is_text(view or question.source):
        return []  # nothing is called so: whoever looks for it says that
    if view:
        versions = versions.filter(feature_view__name=view)
    else:
        versions = versions.filter(spec_json__contains=question.source)
    return sorted(set(versions.values_list("feature_view__name", flat=True)))


def _is_text(name: str) -> bool:
    """Tell whether a database can be asked for it."""
    try:
        return b"\0" not in name.encode()
    except UnicodeEncodeError:
        return False


def _targets(question: PushQuestion, asker: Asker) -> list[Target]:
    if question.view:
        view, is_meant = meant_by(question.view)
        return targets_of_view(view, asker.project, asker.rights, is_meant=is_meant)
    return targets_of_source(question.source, asker.project, asker.rights)


#: The process's plans.
PLANS = PushPlans()
