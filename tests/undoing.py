"""Many cases in one transaction: what one of them does is undone before the next.

For a matrix whose world takes longer to make than its doors to ask. Not for what commits, nor for
what a process remembers beside the database, as online reads do.
"""

from __future__ import annotations

import functools
import inspect
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection, transaction

from tests import databases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


@contextmanager
def undone() -> Iterator[None]:
    """Leave nothing in the database of what is done inside."""
    block: Any = transaction.atomic()
    # As the test's own: what is done inside is a transaction by itself (``registry.locks``).
    block._from_testcase = True
    with block:
        yield
        transaction.set_rollback(True)


def walk(who: str, people: Iterable[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Call the test for each of ``people``, who differ in what they may: all share its fixtures.

    :raises RuntimeError: the test commits.

    The rule by which PostgreSQL asks as the first of them alone is that of ``databases``.
    """
    asking = list(people)

    def walked(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def walking(**fixtures: Any) -> None:
            if not connection.in_atomic_block:
                raise RuntimeError("what commits cannot be undone: use pytest.mark.parametrize")
            failed: list[BaseException] = []
            asked = asking if connection.vendor == databases.SQLITE else asking[:1]
            for one in asked:
                try:
                    with undone():
                        test(**fixtures, **{who: one})
                except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - told at the end
                    error.add_note(f"{who}: {one}")
                    failed.append(error)
            if failed:
                raise BaseExceptionGroup(f"{len(failed)} of {len(asked)} cases", failed)

        signature = inspect.signature(test)
        others = [each for each in signature.parameters.values() if each.name != who]
        walking.__signature__ = signature.replace(parameters=others)  # type: ignore[attr-defined]
        return walking

    return walked
