"""Write in a second thread what this one makes. [pure]

The Delta writer takes its rows in a thread of its own choosing, where Django would open a database
connection that nobody closes. Not for making or writing anything itself.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from queue import Full, Queue
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Items made ahead of the writer; memory stays bounded.
_AHEAD = 2
_WRITER_LOOKED_AT_EVERY_SECONDS = 0.1


class _End:
    """The last thing in the queue: the items ended, or raised ``error``."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def write_aside(write: Callable[[Iterator[Item]], Result], items: Iterable[Item]) -> Result:
    """Return what ``write`` makes of ``items``; it runs aside, they are made here.

    What making an item raises is raised inside ``write`` too, which then must publish nothing; what
    ``write`` raises is raised here. Items that it does not want are not made.
    """
    queue: Queue[Item | _End] = Queue(_AHEAD)
    with ThreadPoolExecutor(1, "write-aside") as pool:
        written = pool.submit(write, _taken(queue))
        try:
            for item in items:
                if not _put(queue, item, written):
                    break
        except BaseException as exc:
            _put(queue, _End(exc), written)
            raise
        _put(queue, _End(), written)
        return written.result()


def _put(queue: Queue[Item | _End], item: Item | _End, written: Future[Result]) -> bool:
    """Wait for room; return whether the writer is still there to take it."""
    while not written.done():
        try:
            queue.put(item, timeout=_WRITER_LOOKED_AT_EVERY_SECONDS)
        except Full:
            continue
        return True
    return False


def _taken(queue: Queue[Item | _End]) -> Iterator[Item]:
    while True:
        item = queue.get()
        if not isinstance(item, _End):
            yield item
        elif item.error is not None:
            raise item.error
        else:
            return
