"""One id for what belongs together: all that a request, or one thing somebody does, leaves behind.

The trail's entries, the lines of the log and the answer's header have it. Not for who did it.
"""

from __future__ import annotations

import random
import uuid
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextvars import Token

_act: ContextVar[str | None] = ContextVar("assay_act", default=None)
#: The digit of a UUID that says how it is made, for each random one.
_VARIANTS = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))


class act:  # noqa: N801 - reads as what is done with it; a class, for every request has one
    """Give all inside one id, ``act_id`` or a new one, as text; an inner act joins the outer."""

    __slots__ = ("_id", "_token")

    def __init__(self, act_id: uuid.UUID | None = None) -> None:
        self._id = act_id

    def __enter__(self) -> str:
        joined = _act.get() or (_fresh() if self._id is None else str(self._id))
        self._token: Token[str | None] = _act.set(joined)
        return joined

    def __exit__(self, *_: object) -> None:
        _act.reset(self._token)


def current_act() -> uuid.UUID | None:
    found = _act.get()
    return None if found is None else uuid.UUID(found)


def _fresh() -> str:
    """Return a random UUID (RFC 9562, version 4): the class takes thrice as long for its text.

    It has to be another than all others, no secret; a process that forks begins anew.
    """
    d = f"{random.getrandbits(128):032x}"  # noqa: S311
    return f"{d[:8]}-{d[8:12]}-4{d[13:16]}-{_VARIANTS[d[16]]}{d[17:20]}-{d[20:]}"
