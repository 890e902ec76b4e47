"""What a rule finds: where, and in which words; and the three findings rules share. [pure]

Not for rules: ``rules`` and ``aggregation_rules`` have those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lib.errors import AssayError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sized

    from registry.reading.yaml_documents import Path

#: ``(path, message)``.
Found = tuple["Path", str]
#: Nearest names are looked up for so many wrong ones; each is compared with all there are.
MAX_HINTS = 10


def error_of(check: Callable[[Any], object], value: object) -> str | None:
    """Return the words in which ``check`` refuses ``value``; None when it does not."""
    try:
        check(value)
    except AssayError as exc:
        return exc.message
    return None


def repeated(path: Path, names: Iterable[str]) -> Iterator[Found]:
    """Find each name that stood before."""
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            yield (*path, index), f"{name!r} stands twice; keep one."
        seen.add(name)


def too_many(path: Path, noun: str, given: Sized, most: int) -> Found | None:
    """Find that a list is over its limit; who reads on would judge what nobody meant."""
    if len(given) <= most:
        return None
    return path, f"{len(given)} {noun}; at most {most} fit one definition, split it."
