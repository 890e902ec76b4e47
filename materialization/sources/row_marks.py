"""Which rows of a file are marked, packed for the way to the sandbox. [pure]

Not for what the marks mean: a Delta table's log marks rows that are deleted.
"""

from __future__ import annotations

import zlib

import numpy as np


def packed(marks: np.ndarray) -> bytes:
    """Return marks, one a row from the first on, as compressed bits."""
    return zlib.compress(np.packbits(marks).tobytes())


def marked_rows(given: bytes) -> np.ndarray:
    """Return the numbers of the marked rows, counted from 0."""
    bits = np.frombuffer(zlib.decompress(given), dtype=np.uint8)
    return np.flatnonzero(np.unpackbits(bits)).astype(np.int64)
