"""Searching vectors: who is near, how far, and what is known of them now.
Not for searching features by words; that is searching.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from assay.calls import Calls
from assay.encoding import parse_instant
from assay.historical import WARNINGS_HEADER, read_header
from assay.shapes import JSON, Columns
from assay.value_types import decode_values


class Hit:
    """One entity that is near."""

    def __init__(self, hit: JSON, types: Mapping[str, str]) -> None:
        #: Its join keys.
        self.entity: JSON = _typed(hit["entity"], types)
        #: Less is nearer, whatever the metric.
        self.distance: float = hit["distance"]
        #: When its vector was true.
        self.event_timestamp: datetime = parse_instant(hit["event_timestamp"])
        self.features: JSON = _typed(hit["features"], types)
        #: ``{feature: PRESENT | NULL_VALUE | NOT_FOUND | OUTSIDE_MAX_AGE}``.
        self.statuses: dict[str, str] = hit["statuses"]

    def __repr__(self) -> str:
        return f"Hit({self.entity}, distance={self.distance:.6g})"


class SearchResponse:
    """The hits, the nearest first."""

    def __init__(self, answer: JSON, *, warnings: Sequence[str] = ()) -> None:
        #: ``searched`` vectors as of ``indexed_at``; whether the index ``is_behind`` what is
        #: stored, whether the answer ``is_complete``, and which ``index`` it is of (``exact`` or
        #: ``cells``), with the ``recall`` that was measured of it.
        self.metadata: JSON = answer["metadata"]
        self.warnings: list[str] = list(warnings)
        types = self.metadata["value_types"]
        self._hits = [Hit(hit, types) for hit in answer["hits"]]

    def __getitem__(self, index: int) -> Hit:
        return self._hits[index]

    def __len__(self) -> int:
        return len(self._hits)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self._hits)

    def __repr__(self) -> str:
        return f"SearchResponse({len(self)} hits)"

    @property
    def entities(self) -> Columns:
        """Their join keys as columns: the entity rows of a read that tells more of them."""
        names = list(self._hits[0].entity) if self._hits else []
        return {name: [hit.entity[name] for hit in self._hits] for name in names}

    def to_rows(self) -> list[JSON]:
        """Give one dict a hit: join keys, ``distance`` and features; frames are made of these."""
        return [{**hit.entity, "distance": hit.distance, **hit.features} for hit in self._hits]


class VectorCalls(Calls):
    """How vectors are searched."""

    def search(
        self,
        feature: str,
        vector: Any = None,
        *,
        entity: Mapping[str, Any] | None = None,
        k: int = 10,
        metric: str = "cosine",
        filter: Mapping[str, Any] | None = None,  # noqa: A002 - the call's own word
        features: Sequence[str] = (),
        exact: bool = False,
        full_feature_names: bool = False,
    ) -> SearchResponse:
        """Find the ``k`` entities whose vectors are nearest to a vector, or to an entity's own.

        ``feature`` is ``view:feature`` of a type ``vector<N>``; ``vector`` N numbers, of any kind
        of array. ``metric`` is ``cosine`` (one minus it), ``l2`` or ``dot`` (minus the product).
        ``filter`` narrows by features of the same version: ``{"state": "open", "age": {"lt": 5},
        "kind": ["a", "b"], "ended": None}``. ``features`` are told of each hit, as they are now.
        Of a large table the vectors of the nearest cells are looked at, and with ``exact`` all.

        :raises Invalid: the vector has another length or a number that is none; see the message.
        :raises Unavailable: the version is not loaded, or not indexed yet.
        """
        body: JSON = {
            "feature": feature,
            "k": k,
            "metric": metric,
            **({} if vector is None else {"vector": _numbers(vector)}),
            **({} if entity is None else {"entity": dict(entity)}),
            **({"filter": dict(filter)} if filter else {}),
            **({"features": list(features)} if features else {}),
            **({"exact": True} if exact else {}),
            **({"full_feature_names": True} if full_feature_names else {}),
        }
        path = self._transport.project_path("search")
        answer = self._transport.request("POST", path, json=body, is_read=True)
        return SearchResponse(answer.json(), warnings=read_header(answer.headers, WARNINGS_HEADER))


def _numbers(vector: Any) -> list[Any]:
    """Give the numbers of a list, or of an array of NumPy, Arrow or a frame."""
    for way in ("tolist", "to_pylist", "to_list"):
        if hasattr(vector, way):
            return list(getattr(vector, way)())
    return list(vector)


def _typed(values: JSON, types: Mapping[str, str]) -> JSON:
    return {name: decode_values([value], types.get(name))[0] for name, value in values.items()}
