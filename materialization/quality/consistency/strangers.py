"""Keys that one store has and the other has not, told at eight bytes a key. [pure]"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


def hashes(keys: Sequence[bytes]) -> np.ndarray:
    """Return eight bytes a key, by which one is told from others."""
    return np.fromiter(map(hash, keys), np.int64, len(keys))


def strangers(
    pieces: Iterable[Sequence[bytes]], known: Iterable[np.ndarray], *, at_once: int
) -> Iterator[list[bytes]]:
    """Yield the keys of which no hash is ``known``, about ``at_once`` at a time and each once.

    However far apart ``pieces`` have a key twice, as walks through a changing Redis may.
    """
    seen = np.sort(np.concatenate([np.empty(0, np.int64), *known]))
    found: dict[bytes, None] = {}
    for keys in pieces:
        found |= dict.fromkeys(_absent(keys, seen))
        if len(found) >= at_once:
            yield list(found)
            own = np.sort(hashes(list(found)))
            seen, found = np.insert(seen, np.searchsorted(seen, own), own), {}
    if found:
        yield list(found)


def _absent(keys: Sequence[bytes], seen: np.ndarray) -> Sequence[bytes]:
    if not len(seen):
        return keys
    own = hashes(keys)
    places = np.minimum(np.searchsorted(seen, own), len(seen) - 1)
    return [key for key, there in zip(keys, seen[places] == own, strict=True) if not there]
