"""Runs what is written as if it waited, on an event loop: each wait is handed to whoever awaits.
Not for what is waited for; see sending.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from assay.errors import AssayError
from assay.extras import require

P = ParamSpec("P")
R = TypeVar("R")
Made = TypeVar("Made")


async def run(call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a call that may ``wait_for`` things, without a thread and without holding up the loop.

    It has a stack of its own, which stands still while its awaitable is awaited here. Being
    cancelled, and every other error, goes on inside it, at the place where it waits.
    """
    greenlet = require("greenlet", "AsyncFeatureStore")
    here = greenlet.getcurrent()
    call_itself = greenlet.greenlet(call, here)
    call_itself.gr_context = here.gr_context  # context variables are the task's
    call_itself.waits_on_a_loop = True
    found = call_itself.switch(*args, **kwargs)
    while not call_itself.dead:
        try:
            value = await found
        except BaseException:  # noqa: BLE001 - also cancellation: it is the call's to clean up
            found = call_itself.throw(*sys.exc_info())
        else:
            found = call_itself.switch(value)
    return cast(R, found)


def wait_for(awaitable: Coroutine[Any, Any, R]) -> R:
    """Await inside a call that ``run`` runs.

    :raises AssayError: nobody does.
    """
    here = require("greenlet", "AsyncFeatureStore").getcurrent()
    if not getattr(here, "waits_on_a_loop", False):
        awaitable.close()
        raise AssayError(
            "this belongs to an AsyncFeatureStore; await its calls", code="not_awaited"
        )
    return cast(R, here.parent.switch(awaitable))


async def iterate(begin: Callable[[], Iterator[R]]) -> AsyncIterator[R]:
    """Give the items of an iterator that waits for each, as its beginning may."""
    end = object()
    pieces = await run(begin)
    try:
        while (piece := await run(next, pieces, end)) is not end:
            yield cast(R, piece)
    finally:
        if close := getattr(pieces, "close", None):
            await run(close)


def awaited(
    call: Callable[Concatenate[Any, P], R],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]:
    """Make the method that awaits ``call`` of the object within: its ``_inner``."""

    @functools.wraps(call)
    async def method(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await run(call, self._inner, *args, **kwargs)

    return method


def awaited_as(
    made: Callable[[R], Made], call: Callable[Concatenate[Any, P], R]
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, Made]]:
    """Make such a method whose answer goes on asking, as ``made`` of it."""

    @functools.wraps(call)
    async def method(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> Made:
        return made(await run(call, self._inner, *args, **kwargs))

    return method
