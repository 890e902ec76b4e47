"""One id for what belongs together: all that a request, or one thing somebody does, leaves behind.

The trail's entries, the lines of the log and the answer's header have it. Not for who did it.
"""

from __future__ import annotations

import uuid
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextvars import Token

_act: ContextVar[uuid.UUID | None] = ContextVar("assay_act", default=None)


class act:  # noqa: N801 - reads as what is done with it; a class, for every request has one
    """Give all inside one id, ``act_id`` or a new one; an inner act joins the outer one."""

    __slots__ = ("_id", "_token")

    def __init__(self, act_id: uuid.UUID | None = None) -> None:
        self._id = act_id

    def __enter__(self) -> uuid.UUID:
        joined = _act.get() or self._id or uuid.uuid4()
        self._token: Token[uuid.UUID | None] = _act.set(joined)
        return joined

    def __exit__(self, *_: object) -> None:
        _act.reset(self._token)


def current_act() -> uuid.UUID | None:
    return _act.get()
