"""Work that one worker has at a time: taken, kept by a lease while it goes on, put down at its end.

A thread renews the lease, because a long computation says nothing for minutes.
"""

from __future__ import annotations

import logging
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol, Self

from django.conf import settings
from django.db import Error as DatabaseFailed
from django.db import connection

from lib.errors import AssayError
from materialization.chunks import read_chunks, stored_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from types import TracebackType

    from django.db.models import QuerySet

    from materialization.models import MaterializationRun

log = logging.getLogger(__name__)


class LeaseLost(AssayError):
    """Another attempt has the work now; this one stops without a trace."""

    code = "lease_lost"


class RunCancelled(AssayError):
    """Somebody asked the run to stop."""

    code = "run_cancelled"


class RunPaused(AssayError):
    """Somebody asked the run to pause; it goes on where it stopped when they let it."""

    code = "run_paused"


class SlotWanted(AssayError):
    """Another run waits for a worker; this one waits for its next turn."""

    code = "slot_wanted"


class Leased(Protocol):
    """A row that one worker has at a time; ``attempt`` is the fencing token."""

    pk: int
    attempt: int

    def owned(self) -> QuerySet[Any]:
        """Return the row as long as this attempt has it, else nothing."""


def take(
    waiting: QuerySet[Any], *, worker: str, at: datetime, columns: Callable[[Any], dict[str, Any]]
) -> bool:
    """Take the one row that waits, with a lease and a new attempt, and set its ``columns``.

    Of several workers exactly one is told that it has it.
    """
    found = waiting.first()
    if found is None:
        return False
    taken = waiting.filter(attempt=found.attempt).update(
        attempt=found.attempt + 1,
        worker=worker[:200],
        lease_expires_at=at + timedelta(seconds=settings.RUN_LEASE_SECONDS),
        **columns(found),
    )
    return bool(taken)


def put_down(
    row: Leased, columns: dict[str, Any], at: datetime, *, among: QuerySet[Any] | None = None
) -> bool:
    """End what was taken, with the ``columns`` of its end, if this attempt still has it.

    ``among`` are the rows it may be one of where no attempt has it any more.
    """
    columns = {**columns, "finished_at": at, "lease_expires_at": None}
    mine = row.owned() if among is None else among
    if not mine.update(**columns):
        log.warning("%s: another attempt has it", row)
        return False
    for name, value in columns.items():
        setattr(row, name, value)
    return True


class Lease:
    """Renew the lease of one attempt until left."""

    def __init__(self, row: Leased, *, clock: Callable[[], datetime]) -> None:
        self._row, self._clock = row, clock
        self._lease = timedelta(seconds=settings.RUN_LEASE_SECONDS)
        self._stop = threading.Event()
        self._outcome: Exception | None = None
        self._thread = threading.Thread(target=self._beat, name=f"lease-{row.pk}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def stopped(self) -> Exception | None:
        """Return why the run should stop, as far as the last beat knows; costs no query."""
        return self._outcome

    def _beat(self) -> None:
        try:
            while not self._stop.wait(self._lease.total_seconds() / 4) and self._outcome is None:
                try:
                    self._renew()
                except DatabaseFailed:
                    # The lease outlives a few missed beats; if they go on, the sweep takes over.
                    connection.close()
        finally:
            connection.close()

    def _renew(self) -> None:
        if not self._row.owned().update(lease_expires_at=self._clock() + self._lease):
            self._outcome = LeaseLost("another attempt owns it")


class Heartbeat(Lease):
    """The lease of a run; ``check`` raises when it should stop."""

    def __init__(self, run: MaterializationRun, *, clock: Callable[[], datetime]) -> None:
        super().__init__(run, clock=clock)
        self._run = run

    def check(self) -> None:
        """Return if the run may go on.

        :raises LeaseLost: another attempt has it. :raises RunCancelled: somebody asked it to stop.
        """
        if self._outcome is None:
            self._renew()
        if self._outcome is not None:
            raise self._outcome

    def begin_publishing(self) -> None:
        """Go on to make rows visible; from here on nobody can cancel the run.

        :raises LeaseLost: another attempt has it. :raises RunCancelled: somebody was first.
        """
        unstopped = self._run.owned().filter(cancel_requested=False, pause_requested=False)
        # A pause that is taken back between the two leaves nothing to stop for: asked once more.
        while self._outcome is None and not unstopped.update(publishing=True):
            self._renew()
        if self._outcome is not None:
            raise self._outcome

    def now(self) -> datetime:
        return self._clock()

    def _kept(self) -> str:
        until = stored_until(read_chunks(self._run.chunks))
        if until is None:
            return "nothing was stored"
        return f"what was stored up to {until.isoformat()} stays"

    def _renew(self) -> None:
        super()._renew()
        if self._outcome is not None:
            return
        if self._run.owned().filter(cancel_requested=True).exists():
            self._outcome = RunCancelled(f"cancelled on request; {self._kept()}.")
        elif self._run.owned().filter(pause_requested=True).exists():
            self._outcome = RunPaused("paused on request.")
