"""What a caller says of its request: its own id of it, its trace (W3C trace context), and through
which program somebody asks. [pure]

The ids stand beside ours in the log, see docs/decisions/0068, the program in the trail too.
Anybody can write them: they decide nothing.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextvars import Token

#: Version, trace, the caller's span, flags. Later versions may say more after these.
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
#: Plain signs alone: it is written into logs as it is.
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}")
#: A program's name and version. No signs of an e-mail address: it stays in the trail.
_PROGRAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._/()+?-]{0,99}")
_NOBODY: Mapping[str, str] = {}
_caller: ContextVar[Mapping[str, str]] = ContextVar("assay_caller", default=_NOBODY)


def said_by_caller(request_id: str, traceparent: str, program: str = "") -> Mapping[str, str]:
    """Return ``caller_request_id``, ``trace_id``, ``parent_id``, ``asked_through`` of the headers.

    What is not well-formed is left out, as RFC and W3C ask: a request does not fail by it.
    """
    if not request_id and not traceparent and not program:
        return _NOBODY
    said = {}
    if _REQUEST_ID.fullmatch(request_id):
        said["caller_request_id"] = request_id
    if (found := _TRACEPARENT.fullmatch(traceparent)) and _is_valid(*found.groups()):
        said |= {"trace_id": found[2], "parent_id": found[3]}
    if _PROGRAM.fullmatch(program):
        said["asked_through"] = program
    return said


def _is_valid(version: str, trace: str, parent: str, _flags: str, more: str | None) -> bool:
    is_known = version != "ff" and (version != "00" or more is None)
    return is_known and set(trace) != {"0"} and set(parent) != {"0"}


class called:  # noqa: N801 - as ``lib.acts.act``
    """Have the caller's own names in all lines of the log that are written inside."""

    __slots__ = ("_said", "_token")

    def __init__(self, said: Mapping[str, str]) -> None:
        self._said = said

    def __enter__(self) -> None:
        self._token: Token[Mapping[str, str]] = _caller.set(self._said)

    def __exit__(self, *_: object) -> None:
        _caller.reset(self._token)


def caller() -> Mapping[str, str]:
    return _caller.get()
