"""Many cases in one transaction: what one of them does is undone before the next.

Not for what commits. The world that such cases share is made once, in the test's own transaction.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.db import transaction

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def undone() -> Iterator[None]:
    """Leave nothing in the database of what is done inside."""
    block: Any = transaction.atomic()
    # As the test's own: what is done inside is a transaction by itself (``registry.locks``).
    block._from_testcase = True
    with block:
        yield
        transaction.set_rollback(True)
