"""Plans kept in the process, each for one epoch of its project and one generation of the store.

Not for making plans (``plans``). The ORM is asked only where no kept plan fits.
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from django.db import close_old_connections, connection

from materialization.edges import online_store
from registry import epoch
from serving.online.plans import Question, ReadPlan, authorise, make_plan

if TYPE_CHECKING:
    from datetime import datetime

    from materialization.stores.protocols import OnlineRows

#: Plans a process keeps; one is some kilobytes.
CAPACITY = 4096


class KeptPlan(NamedTuple):
    """A plan and the facts it was made under."""

    read: ReadPlan
    epoch: bytes
    generation: int

    def holds(self, seen: OnlineRows) -> bool:
        """Tell whether the epoch read with the values is this plan's, in the same generation.

        A new connection may lead to another server or to an older dump, with an epoch of long ago.
        """
        return seen.epoch == self.epoch and seen.generation == self.generation


class PlanCache:
    """The least recently asked plan leaves when there are too many."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._plans: OrderedDict[Question, KeptPlan] = OrderedDict()
        self._capacity = capacity
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._plans)

    def find(self, question: Question) -> KeptPlan | None:
        with self._lock:
            kept = self._plans.get(question)
            if kept is not None:
                self._plans.move_to_end(question)
        return kept

    def make(self, question: Question, *, token: str, at: datetime) -> KeptPlan:
        """Make a plan from the registry and keep it, unless a change is under way.

        The epoch is read before the facts, rights included: if they change meanwhile, the next
        reader sees another.
        """
        # Not every door is Django's: only its requests drop connections the database has closed.
        if not connection.in_atomic_block:
            close_old_connections()
        # Who may not know that the project exists learns nothing of Redis either.
        _, project = authorise(question, token=token, at=at)
        current = epoch.ensure(project.pk)
        generation = online_store().read(project.pk, ()).generation
        kept = KeptPlan(make_plan(question, token=token, at=at), current, generation)
        if not current.startswith(epoch.PENDING):
            self._keep(question, kept)
        return kept

    def clear(self) -> None:
        with self._lock:
            self._plans.clear()

    def _keep(self, question: Question, kept: KeptPlan) -> None:
        with self._lock:
            self._plans[question] = kept
            self._plans.move_to_end(question)
            while len(self._plans) > self._capacity:
                self._plans.popitem(last=False)


#: The process's plans.
PLANS = PlanCache()
