"""Kinds of requests that must not take each other's threads. [pure]

A view says its kind as ``pool``; whoever serves requests gives each kind threads and a queue.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

View = TypeVar("View", bound="Callable[..., Any]")


class Pool(StrEnum):
    #: Values of a few entities, answered in a millisecond.
    ONLINE = "online"
    #: Rows that are sent: views may make them by SQL, which takes its time.
    ROWS = "rows"
    #: The admin and the short calls of the API: whatever says nothing else.
    DESK = "desk"
    #: Looking at sources: definitions, submitting, what the reviewer sees.
    PLANS = "plans"
    #: Reading much of the offline store.
    TRAINING_SETS = "training_sets"
    #: What monitors ask.
    WATCH = "watch"


def answered_in(pool: Pool) -> Callable[[View], View]:
    """Give a view that is a function its ``pool``; a class has it as an attribute."""

    def mark(view: View) -> View:
        view.pool = pool  # type: ignore[attr-defined]
        return view

    return mark


def pool_of_view(view: Any) -> Pool:
    pool: Pool = getattr(getattr(view, "view_class", view), "pool", Pool.DESK)
    return pool
