"""Plans kept in the process, each for the epochs of its project and views and one server process.

Not for making plans (``plans``). The ORM is asked only where no kept plan fits, and once in a while
whether those of a project still do.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from contextlib import suppress
from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import Error as DjangoDatabaseError
from django.db import close_old_connections, connection

from lib.errors import Unavailable
from materialization.edges.stores import online_store
from registry import epoch
from registry.models import Project
from serving.names import asked_views, with_inputs
from serving.online.making import authorise, make_plan
from serving.online.plans import Question, ReadPlan
from serving.online.watching import note_plan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from materialization.stores.online_protocol import OnlineRows

logger = logging.getLogger(__name__)
#: Features that the plans a process keeps have together: each is some hundred bytes.
CAPACITY = 200_000
#: Plans that can be made at once; of one question only one is.
MAKERS = 64
_NOW = timedelta(0)


class KeptPlan(NamedTuple):
    """A plan and the facts it was made under: the epochs of store and registry, and the server.

    Of each the project's own epoch comes first, then those of the plan's views.
    """

    read: ReadPlan
    epochs: tuple[bytes | None, ...]
    registered: tuple[str | None, ...]
    server: str

    @property
    def weight(self) -> int:
        """How many features it has, as the question names and as the answer gives them."""
        return 1 + len(self.read.columns)

    def holds(self, seen: OnlineRows) -> bool:
        """Tell whether the epochs read with the values are this plan's, on the same server process.

        Another may be another server or have an older dump, with epochs of long ago.
        """
        return seen.epochs == self.epochs and seen.server == self.server

    def still_holds(self) -> bool:
        """Ask the store whether the plan holds now."""
        return self.holds(online_store().read(self.read.project_id, self.read.views, ()))


class _Held:
    """A plan that is kept, and the last of the registry's epochs that it was seen to be of."""

    __slots__ = ("confirmed", "plan")

    def __init__(self, plan: KeptPlan) -> None:
        self.plan = plan
        self.confirmed: epoch.Registered | None = None


class PlanCache:
    """Plans that were not asked for lately leave when all have more than ``capacity`` features."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._plans: OrderedDict[Question, _Held] = OrderedDict()
        self._capacity, self._weight = capacity, 0
        self._lock = Lock()
        self._makers = [Lock() for _ in range(MAKERS)]
        self._registered = RegisteredEpochs()

    def __len__(self) -> int:
        return len(self._plans)

    def find(self, question: Question, *, at: datetime) -> KeptPlan | None:
        """Return the question's plan, unless the registry has changed since it was made."""
        held = self._plans.get(question)
        if held is None:
            return None
        # To hash a question costs as much as to find its plan: while few are kept none is moved.
        if self._weight > self._capacity // 2:
            with self._lock, suppress(KeyError):
                self._plans.move_to_end(question)
        read = held.plan.read
        known = self._registered.known(read.project_id, at=at)
        if known is None:
            return None
        if known is not held.confirmed:
            if held.plan.registered != known.of(read.views):
                return None
            held.confirmed = known
        return held.plan

    def make(
        self,
        question: Question,
        *,
        token: str,
        at: datetime,
        environ: Mapping[str, Any],
        instead_of: KeptPlan | None = None,
    ) -> tuple[KeptPlan, bool]:
        """Make a plan from the registry and keep it, unless the store can hold no epoch now.

        Of those who ask the same at once one makes it and the others take that: another than
        ``instead_of``, which did not hold. Tells whether it was made here, after the question came;
        of another's plan they still have to see that it holds.
        """
        with self._makers[hash(question) % len(self._makers)]:
            kept = self.find(question, at=at)
            if kept is not None and kept is not instead_of:
                return kept, False
            return self._make(question, token=token, at=at, environ=environ), True

    def _make(
        self, question: Question, *, token: str, at: datetime, environ: Mapping[str, Any]
    ) -> KeptPlan:
        """Read the epochs before the facts, rights included.

        If they change meanwhile, the next reader sees others.
        """
        _close_lost_connections()
        project = Project.objects.filter(name=question.project).first()
        if project is None:
            project = authorise(
                question, token=token, at=at, environ=environ
            ).project  # says what is wrong
        try:
            own = epoch.ensure(project.pk)
            server = online_store().read(project.pk, (), ()).server
        except Unavailable:
            # Who may not know that the project exists learns nothing of Redis either.
            authorise(question, token=token, at=at, environ=environ)
            raise
        asker = authorise(question, token=token, at=at, environ=environ)
        views = asked_views(
            project=project, features=question.features, feature_service=question.feature_service
        )
        views = with_inputs(project, views)
        rows = epoch.Registered(project.epoch, epoch.registered_views(project.pk, views))
        known = [view for view in views if view in rows.views]  # a plan of others is refused
        epochs = own + epoch.ensure(project.pk, known)[1:]
        plan = make_plan(question, asker, views=views)
        self._registered.note(project.pk, rows, at=at)
        note_plan(project.name)
        kept = KeptPlan(plan, epochs, rows.of(views), server)
        if None not in epochs:
            self._keep(question, kept)
        return kept

    def clear(self) -> None:
        with self._lock:
            self._plans.clear()
            self._weight = 0

    def _keep(self, question: Question, kept: KeptPlan) -> None:
        with self._lock:
            old = self._plans.get(question)
            self._weight += kept.weight - (old.plan.weight if old else 0)
            self._plans[question] = _Held(kept)
            self._plans.move_to_end(question)
            while self._weight > self._capacity:
                self._weight -= self._plans.popitem(last=False)[1].plan.weight


class Confirmed(NamedTuple):
    """What the registry's rows said, all of it at ``at`` or later."""

    epochs: epoch.Registered
    at: datetime


class RegisteredEpochs:
    """The epochs in the registry's rows, each asked for again after ``epoch.confirmed_for``.

    The store's epochs make this superfluous, except where they could not be changed or went back.
    """

    def __init__(self) -> None:
        self._known: dict[int, Confirmed] = {}
        self._asking = Lock()

    def note(self, project_id: int, found: epoch.Registered, *, at: datetime) -> None:
        """Add what was read of some views since ``at``; all together is as old as its oldest."""
        known = self._known.get(project_id, Confirmed(found, at))
        both = epoch.Registered(found.own, known.epochs.views | found.views)
        self._known[project_id] = Confirmed(both, min(known.at, at))

    def epochs(
        self, project_id: int, views: Sequence[str], *, at: datetime
    ) -> tuple[str | None, ...] | None:
        """Return the epochs as they were a moment ago, the project's own first; None: not known."""
        known = self.known(project_id, at=at)
        return None if known is None else known.of(views)

    def known(self, project_id: int, *, at: datetime) -> epoch.Registered | None:
        """Return what the registry said a moment ago: the same object until it is asked again.

        One thread asks at a time, the others go by what is known until it has the answer: a
        database that hangs takes one of them. One that does not answer changes no rights either.
        """
        known = self._known.get(project_id)
        if known is None:
            return None
        is_recent = _NOW <= at - known.at < epoch.confirmed_for()
        if not is_recent and self._asking.acquire(blocking=False):
            try:
                known = self._ask(project_id, known, at)
            except (DjangoDatabaseError, Unavailable) as exc:
                logger.warning("the epochs of project %d cannot be asked for: %s", project_id, exc)
            finally:
                self._asking.release()
        return known.epochs

    def _ask(self, project_id: int, known: Confirmed, at: datetime) -> Confirmed:
        _close_lost_connections()
        found = epoch.registered(project_id, known.epochs.views)
        self._known[project_id] = Confirmed(found, at)
        return self._known[project_id]


def _close_lost_connections() -> None:
    """Not every door is Django's: only its requests drop connections the database has closed."""
    if not connection.in_atomic_block:
        close_old_connections()


#: The process's plans.
PLANS = PlanCache()
