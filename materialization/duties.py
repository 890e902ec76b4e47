"""What a sweep does for apps above, in order: each registers its own when it starts.

Not for a sweep's own duties, which ``requests.sweep`` lists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_duties: list[Callable[..., None]] = []


def register(duties: Iterable[Callable[..., None]]) -> None:
    """Add the duties of an app; each is called with ``at``, and the same twice is one."""
    _duties.extend(duty for duty in duties if duty not in _duties)


def registered() -> tuple[Callable[..., None], ...]:
    return tuple(_duties)
