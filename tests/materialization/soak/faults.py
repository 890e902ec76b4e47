"""Something that happens while a worker works: at the n-th time that it asks the database.

Between two of its questions lies everything that it does to files, to Redis and to the table. Not
for what happens (``world``): it is called where it is due, once.
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.db import connection

from lib.connections import get_redis
from tests.materialization.runner.test_chunks import Killed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class _Meanwhile:
    """Has it happen before the question of that number, counted from 0, is asked."""

    def __init__(self, number: int, happens: Callable[[], object], *, others: bool) -> None:
        self._left, self._happens = number, happens
        #: What others do is seen between transactions, and never in the middle of one.
        self._depth = len(connection.savepoint_ids) if others else None

    def __call__(self, execute: Callable[..., Any], *question: Any) -> Any:
        self._left -= 1
        if self._left < 0 and self._happens is not _nothing and self._is_between():
            happens, self._happens = self._happens, _nothing
            happens()
        return execute(*question)

    def _is_between(self) -> bool:
        return self._depth is None or len(connection.savepoint_ids) == self._depth


def _nothing() -> None:
    """Stand for what has happened."""


@contextmanager
def meanwhile(number: int, happens: Callable[[], object], *, others: bool = True) -> Iterator[None]:
    """Let something happen at a question; ``others`` do it, who wait for transactions to end."""
    with connection.execute_wrapper(_Meanwhile(number, happens, others=others)):
        yield


@contextmanager
def killed_at(number: int, store: Path) -> Iterator[None]:
    """Let the worker die as by SIGKILL: files stay as they were, whatever would clean up."""
    kept = store.with_name("as_the_kill_left_it")

    def die() -> None:
        if store.exists():
            shutil.copytree(store, kept, copy_function=_link)
        raise Killed

    with suppress(Killed), meanwhile(number, die, others=False):
        yield
    # A statement that was a transaction of its own was the schedule's: that one goes on.
    connection.set_rollback(False)
    if kept.exists():
        shutil.rmtree(store)
        kept.rename(store)


def _link(source: str, target: str) -> None:
    """Give a file a second name: whoever replaces or removes one of them leaves the other."""
    Path(target).hardlink_to(source)


class Backup:
    """All that is in Redis at one time; what a server has that starts again from its snapshot."""

    def __init__(self) -> None:
        client = get_redis()
        keys = sorted(client.scan_iter())
        self._kept = [(key, client.pttl(key), client.dump(key)) for key in keys]

    def restore(self) -> None:
        client = get_redis()
        client.flushall()
        for key, left, value in self._kept:
            if value is not None:
                client.restore(key, max(left, 0), value)
        client.client_kill_filter(_type="normal", skipme=True)
        client.connection_pool.disconnect()
