"""What a search may ask for, read strictly from JSON. [pure]

Not for whether its features and keys exist: the plan of the read says that.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from lib.decoding import converter
from lib.errors import did_you_mean
from materialization.vectors.metrics import COSINE, METRICS
from registry.spec.references import Reference, parse_reference
from serving.request_body import BadRequest, read_json
from serving.values import shown

#: Hits of one search.
MAX_K = 1000
#: Features that a search is narrowed by.
MAX_FILTERS = 32
#: Above it a number is none of 32 bits, which vectors have.
_MOST = float(np.finfo(np.float32).max)


class SearchRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Either a ``vector``, or an ``entity`` whose own is taken: its join keys, one value each."""

    feature: str
    vector: list[Any] | None = None
    entity: dict[str, Any] | None = None
    k: int = 10
    metric: str = COSINE
    #: Look at all vectors, however many they are.
    exact: bool = False
    #: Feature of the same version → what it must be; see ``filters``.
    filter: dict[str, Any] = {}
    #: What is told of each hit.
    features: list[str] = []
    full_feature_names: bool = False

    @property
    def reference(self) -> Reference:
        return parse_reference(self.feature)


_read = converter(SearchRequest)


def parse_request(body: bytes) -> SearchRequest:
    """Read a request.

    :raises BadRequest: it is not JSON, has an unknown key or a wrong type, or asks for what no
        search can answer.
    """
    request = read_json(body, SearchRequest, _read, what="search")
    if request.reference.feature == "*":
        raise BadRequest('feature is one feature, as in "documents:embedding"; `*` is not.')
    if (request.vector is None) == (request.entity is None):
        raise BadRequest(
            'send either "vector", a list of numbers, or "entity", as in {"document_id": 7}, whose'
            " own vector is taken."
        )
    if not 1 <= request.k <= MAX_K:
        raise BadRequest(f"k is {request.k}: a search answers 1 to {MAX_K} hits.")
    if request.metric not in METRICS:
        hint = did_you_mean(request.metric, tuple(METRICS))
        raise BadRequest(f"unknown metric {shown(request.metric)}.{hint}")
    if "*" in request.filter:
        raise BadRequest('filter names features, as in {"state": "open"}; `*` is not one.')
    if len(request.filter) > MAX_FILTERS:
        raise BadRequest(
            f"filter names {len(request.filter)} features; a search is narrowed by at most"
            f" {MAX_FILTERS}."
        )
    return request


def read_vector(sent: list[Any], *, length: int, of: str) -> np.ndarray:
    """Return a vector that was sent, as the feature ``of`` stores its own: 32 bits a number.

    :raises BadRequest: it has another length, or something that is no finite number.
    """
    if len(sent) != length:
        raise BadRequest(f"the vector has {len(sent)} numbers, and {of} has {length}.")
    for place, value in enumerate(sent):
        if type(value) not in (int, float) or not -_MOST <= value <= _MOST:
            raise BadRequest(
                f"number {place} of the vector is {shown(value)}: send finite numbers that 32 bits"
                " hold."
            )
    return np.array(sent, np.float32)


def as_number(stored: float | str) -> float:
    """Return a number of a stored vector; what JSON has no number for is stored as text."""
    return float(stored)


def require_direction(vector: np.ndarray, metric: str) -> None:
    """:raises BadRequest: the metric goes by directions, and zeros have none."""
    if metric == COSINE and not vector.any():
        raise BadRequest(
            'the vector is all zeros: it has no direction, which "cosine" goes by. Send another, or'
            ' another metric, as in "l2".'
        )
