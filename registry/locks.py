"""In which order rows are locked, everywhere, and the one way to lock some.

Two transactions that lock the same rows in one order wait for each other; in two orders they wait
for ever. Not for what a lock is for: whoever takes it says that. Under ``LOCK_ORDER_CHECKED``,
which tests set, a transaction that breaks the order fails at the statement that does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from django.conf import settings
from django.db import connections, transaction
from django.db.backends.signals import connection_created

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models import Model, QuerySet

M = TypeVar("M", bound="Model")

#: First to last, by table; rows of one table by their key. One that is held already may be changed
#: again at any time. What is not named here is changed under the lock of a row that is: views, for
#: instance, under their project's.
ORDER = (
    "registry_project",  # rights, registrations, lifecycle: see ``epoch``
    "auth_user",
    "registry_featureviewversion",
    "materialization_tablesequence",
    "materialization_materializationrun",
    "registry_featuretable",
    "materialization_materializationschedule",
    "materialization_alert",
    "serving_historicaljob",
    "registry_audithead",  # of the whole installation, so always the last
)
_RANKS = {table: rank for rank, table in enumerate(ORDER)}


class LockOrderBroken(RuntimeError):
    """A transaction asks for a lock that another may hold while waiting for one of its own."""


class _Lock(NamedTuple):
    """One lock of one transaction; ``pk`` None: some row of the table was changed.

    Kept among what is to be called after the commit, so it goes when the database lets it go: with
    the transaction, or with the savepoint after which it was taken.
    """

    transaction: str
    rank: int
    pk: Any

    def forget(self) -> None:
        """Nothing is to be done: the lock is gone."""


def hold(rows: QuerySet[M]) -> list[M]:
    """Lock these rows until the transaction ends, in the order of their keys; return them as now.

    Other rows that name them by a key can still be made.
    """
    found = list(rows.select_for_update(no_key=True, of=("self",)).order_by("pk"))
    if settings.LOCK_ORDER_CHECKED:
        for row in found:
            _note(connections[rows.db], rows.model._meta.db_table, row.pk)
    return found


def made(row: Model) -> None:
    """Note a row that this transaction made: until it ends nobody else can lock it, or wait."""
    if settings.LOCK_ORDER_CHECKED:
        connection = connections[row._state.db or "default"]
        lock = _Lock(_transaction(connection), _RANKS[row._meta.db_table], row.pk)
        transaction.on_commit(lock.forget, using=connection.alias)


def _note(connection: BaseDatabaseWrapper, table: str, pk: Any) -> None:
    """:raises LockOrderBroken: the transaction holds what comes after it, and not it."""
    if not _is_in_transaction(connection):
        return
    name = _transaction(connection)
    rank = _RANKS[table]
    held = [lock for lock in _ledger(connection) if lock.transaction == name]
    same = [lock.pk for lock in held if lock.rank == rank]
    known = [each for each in same if each is not None]
    if pk in known or (pk is None and same):
        return
    last = max((lock.rank for lock in held), default=rank)
    if last > rank:
        raise LockOrderBroken(f"{table} {pk or ''} after {ORDER[last]}; lock it before that.")
    if pk is not None and known and pk < max(known):
        raise LockOrderBroken(f"{table} {pk} after {max(known)}; lock them together.")
    transaction.on_commit(_Lock(name, rank, pk).forget, using=connection.alias)


def _ledger(connection: BaseDatabaseWrapper) -> Iterator[_Lock]:
    for entry in connection.run_on_commit:
        lock = getattr(entry[1], "__self__", None)
        if isinstance(lock, _Lock):
            yield lock


def _is_in_transaction(connection: BaseDatabaseWrapper) -> bool:
    """Say whether locks outlive their statement; a test's own transaction stands for none."""
    return not all(getattr(block, "_from_testcase", False) for block in connection.atomic_blocks)


def _transaction(connection: BaseDatabaseWrapper) -> str:
    """Name the transaction; one inside a test's own counts as one, being undone with it."""
    of_test = sum(getattr(block, "_from_testcase", False) for block in connection.atomic_blocks)
    names = connection.savepoint_ids[of_test - 1 : of_test] if of_test else []
    return str(names[0]) if names else ""


def _opened(*, connection: BaseDatabaseWrapper, **_: object) -> None:
    """Watch it where that is asked for: a change locks rows too."""
    if settings.LOCK_ORDER_CHECKED:
        watch(connection)


def watch(connection: BaseDatabaseWrapper) -> None:
    """Note from now on what a connection's statements change."""
    if _watched not in connection.execute_wrappers:
        connection.execute_wrappers.append(_watched)


def unwatch(connection: BaseDatabaseWrapper) -> None:
    """Note no changes any more, until it is watched again."""
    if _watched in connection.execute_wrappers:
        connection.execute_wrappers.remove(_watched)


def _watched(
    execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]
) -> Any:
    result = execute(sql, params, many, context)
    changes = sql.startswith(("UPDATE", "DELETE")) and context["cursor"].rowcount > 0
    table = sql.partition('"')[2].partition('"')[0] if changes else ""
    if settings.LOCK_ORDER_CHECKED and table in _RANKS:
        _note(context["connection"], table, None)
    return result


connection_created.connect(_opened)
