"""One id for what belongs together: all that a request, or one thing somebody does, leaves behind.

The trail's entries, the lines of the log and the answer's header have it. Not for who did it.
"""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_act: ContextVar[uuid.UUID | None] = ContextVar("assay_act", default=None)


@contextmanager
def act(act_id: uuid.UUID | None = None) -> Iterator[uuid.UUID]:
    """Give all inside one id, ``act_id`` or a new one; an inner act joins the outer one."""
    joined = _act.get() or act_id or uuid.uuid4()
    token = _act.set(joined)
    try:
        yield joined
    finally:
        _act.reset(token)


def current_act() -> uuid.UUID | None:
    return _act.get()
