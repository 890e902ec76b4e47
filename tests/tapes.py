"""Writes that were made once the real way, made again at once where a test asks for the same.

Only from a database that came to be as it was then, step by step (``begin``, ``step``), in a test
that changed neither settings nor code. Not for what a test is about, nor for rows that another
database may have made meanwhile: a test that commits is left alone.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from django.conf import UserSettingsHolder, settings
from django.contrib.contenttypes.models import ContentType
from django.db import connection

from registry import epoch, locks
from registry.models import FeatureTable, Project
from registry.models.feature_view import new_uid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Statements that leave the rows as they are.
READING = ("SELECT", "SAVEPOINT", "RELEASE")
#: Settings that say where things lie; what is written here does not depend on them.
PLACES = {"FILE_ROOTS"}


class Tape(NamedTuple):
    """What was made, the numbers that rows had got before that, and the statements that made it."""

    made: int
    numbers: list[tuple[Any, ...]]
    statements: list[tuple[str, Any, bool]]
    #: What no two tables may share, whose rows are made again or not.
    uids: set[str]


class _Database:
    """How the rows came to be as they are; None: somehow. And what is being recorded."""

    steps: tuple[Any, ...] | None = None
    recording: list[tuple[str, Any, bool]] | None = None


_now = _Database()
_tapes: dict[tuple[Any, ...], Tape] = {}


def begin(*, is_known: bool) -> None:
    """Begin a test; ``is_known``: with the rows that migrations store, and nobody commits more."""
    _now.recording = None
    # Rows name content types by their keys.
    _now.steps = (ContentType.objects.get_for_model(Project).pk,) if is_known else None
    if _noted not in connection.execute_wrappers:
        connection.execute_wrappers.append(_noted)


@contextmanager
def step(name: object) -> Iterator[None]:
    """Say that what is written inside is the same whenever it is written from the same rows."""
    before = _now.steps
    yield
    _now.steps = before and (*before, name)


def again(name: object, make: Callable[[], int], tell: Callable[[int], None]) -> int:
    """Return the key of what ``make`` makes; ``tell`` readers of it where it is written again."""
    steps = None if _changed_settings() else _now.steps
    if steps is None:
        return make()
    with step(name):
        tape = _tapes.get((*steps, name))
        if tape is None:
            return _recorded((*steps, name), make)
        _play(tape)
        tell(tape.made)
        return tape.made


def _recorded(key: tuple[Any, ...], make: Callable[[], int]) -> int:
    numbers, known, waiting = _numbers(), _uids(), len(connection.run_on_commit)
    statements: list[tuple[str, Any, bool]] = []
    _now.recording = statements
    try:
        made = make()
    finally:
        _now.recording = None
    told = [each[1] for each in connection.run_on_commit[waiting:]]
    if all(map(_is_of_epochs_or_locks, told)) and _can_be_played(statements, _uids()):
        _tapes[key] = Tape(made, numbers, statements, _uids() - known)
    return made


def _uids() -> set[str]:
    return set(FeatureTable.objects.values_list("uid", flat=True))


def _can_be_played(statements: list[tuple[str, Any, bool]], uids: set[str]) -> bool:
    """Say whether nothing was taken back, and a table's name is nowhere inside of a text."""
    texts = [text for _, given, _ in statements for text in given or () if isinstance(text, str)]
    return not any(sql.startswith("ROLLBACK") for sql, _, _ in statements) and not any(
        uid in text and uid != text for uid in uids for text in texts
    )


def _is_of_epochs_or_locks(told: Any) -> bool:
    is_of_epoch = isinstance(told, partial) and told.func is epoch._tell
    return is_of_epoch or isinstance(getattr(told, "__self__", None), locks._Lock)


def _play(tape: Tape) -> None:
    uids = {uid: new_uid() for uid in tape.uids}
    locks.unwatch(connection)  # they were made in transactions of their own
    with connection.cursor() as cursor:
        _set_numbers(cursor, tape.numbers)
        for sql, parameters, many in tape.statements:
            given = parameters
            if not many and parameters:
                given = [uids.get(each, each) if type(each) is str else each for each in parameters]
            (cursor.executemany if many else cursor.execute)(sql, given)
    locks.watch(connection)


def _numbers() -> list[tuple[Any, ...]]:
    """Return the number that each table's newest row has got."""
    asked = {
        "sqlite": "SELECT name, seq FROM sqlite_sequence",
        "postgresql": "SELECT quote_ident(sequencename), coalesce(last_value, 1),"
        " last_value IS NOT NULL FROM pg_sequences",
    }[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(asked)
        return list(cursor.fetchall())


def _set_numbers(cursor: Any, numbers: list[tuple[Any, ...]]) -> None:
    if connection.vendor == "sqlite":
        cursor.execute("DELETE FROM sqlite_sequence")
        cursor.executemany("INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)", numbers)
    else:
        names, last, called = zip(*numbers, strict=True)
        cursor.execute(
            "SELECT setval(name::regclass, last, called)"
            " FROM unnest(%s::text[], %s::bigint[], %s::boolean[]) AS n(name, last, called)",
            [list(names), list(last), list(called)],
        )


def _noted(
    execute: Callable[..., Any], sql: str, parameters: Any, many: bool, context: dict[str, Any]
) -> Any:
    if not sql.startswith(READING):
        _now.steps = None
        if _now.recording is not None:
            _now.recording.append((sql, parameters, many))
    return execute(sql, parameters, many, context)


def _changed_settings() -> bool:
    """Say whether a test has set some for itself."""
    holder: Any = settings._wrapped  # type: ignore[misc]
    changed: set[str] = set()
    while isinstance(holder, UserSettingsHolder):
        changed |= holder.__dict__.keys() - {"default_settings", "_deleted", "SETTINGS_MODULE"}
        changed |= holder._deleted
        holder = holder.default_settings
    return bool(changed - PLACES)
