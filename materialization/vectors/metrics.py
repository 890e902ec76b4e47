"""How far vectors are from one, by each metric: nearer is less. [pure]

Computed with 64 bits, whatever the vectors have: who is nearer must not be a matter of rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable


def lengths_of(vectors: np.ndarray) -> np.ndarray:
    """Return how long each is; not a number where one of its numbers is none, or endless."""
    exact = vectors.astype(np.float64)
    found: np.ndarray = np.sqrt(np.einsum("ij,ij->i", exact, exact))
    return np.where(np.isfinite(found), found, np.nan)


def _products(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Return the product with each, on one thread: a server's others answer somebody meanwhile."""
    found: np.ndarray = np.einsum("ij,j->i", vectors, query)
    return found


def _cosine(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    lengths = lengths_of(vectors) * np.sqrt(query @ query)
    with np.errstate(invalid="ignore", divide="ignore"):
        near: np.ndarray = _products(vectors, query) / lengths
    found: np.ndarray = 1.0 - np.clip(near, -1.0, 1.0)
    return found


def _l2(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    apart = vectors - query
    found: np.ndarray = np.sqrt(np.einsum("ij,ij->i", apart, apart))
    return found


def _dot(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    return -_products(vectors, query)


COSINE = "cosine"
#: One minus the cosine of the angle; the straight line; the product, which is less than nothing
#: where vectors point the same way. Not a number where a vector has no direction, or is none.
METRICS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    COSINE: _cosine,
    "l2": _l2,
    "dot": _dot,
}


def distances(metric: str, vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Return how far each of ``vectors``, n rows of float32 or 64, is from ``query``."""
    return METRICS[metric](vectors.astype(np.float64, copy=False), query.astype(np.float64))


def orders(metric: str, products: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return numbers that order vectors as their distances do, of their products with one."""
    if metric == COSINE:
        with np.errstate(invalid="ignore", divide="ignore"):
            turned: np.ndarray = -products / lengths
        return turned
    if metric == "dot":
        return -products
    apart: np.ndarray = lengths**2 - 2 * products
    return apart
