"""Rows that were made once the real way, put back at once where a test needs the same again.

Only into a database that is as it was then: empty but for what migrations store. Not for what a
test is about, nor for rows that differ from test to test.
"""

from __future__ import annotations

import copy
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from django.apps import apps
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.db.models.sql import InsertQuery

from registry.models import AuditEntry, Project, Pseudonym

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.db.models import Model

Made = TypeVar("Made")
#: What migrations store; the flush after a test that commits gives these rows other keys.
STATIC = {ContentType, Permission}


class Memory(NamedTuple):
    """What was made, and the statements that put its rows back."""

    made: Any
    statements: list[tuple[str, Any]]


# Not a tape (``tapes``): this is put back, by a statement a table, where a test commits as well.
_memories: dict[tuple[str, int], Memory] = {}


def remembered(name: str, make: Callable[[], Made]) -> Made:
    """Return what ``make`` makes, its rows stored; made the real way once a session.

    What ``make`` leaves elsewhere than in the database is not put back: neither files nor what is
    to be done after a commit.
    """
    if User.objects.exists() or Project.objects.exists() or AuditEntry.objects.exists():
        return make()
    # The rows name content types and permissions by their keys.
    key = name, ContentType.objects.get_for_model(Project).pk
    if key not in _memories:
        made = make()
        _memories[key] = Memory(copy.deepcopy(made), list(_statements()))
        return made
    made, statements = _memories[key]
    with transaction.atomic(), connection.cursor() as cursor:
        for sql, parameters in statements:
            cursor.execute(sql, parameters)
    return copy.deepcopy(made)


@cache
def _models() -> list[type[Model]]:
    """Return the models of all tables, those that others refer to first as far as that matters."""
    found = apps.get_models(include_auto_created=True)
    kept = [model for model in found if model not in STATIC and model._meta.can_migrate("default")]
    # The database asks the trail of some of them.
    first = [AuditEntry, Pseudonym]
    return sorted(kept, key=lambda model: model not in first)


def _statements() -> Iterator[tuple[str, Any]]:
    """Give the statements that store every row there is, with its key."""
    for model in _models():
        if rows := list(model._base_manager.order_by("pk")):
            query = InsertQuery(model)
            query.insert_values(model._meta.concrete_fields, rows, raw=True)
            yield from query.get_compiler(connection=connection).as_sql()
