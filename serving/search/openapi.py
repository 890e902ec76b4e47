"""search in the OpenAPI schema: request, answer, an example of each.

Not for checking requests: ``request`` and ``filters`` do that.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema

from materialization.vectors.metrics import COSINE, METRICS
from serving.openapi import TEXTS, problems
from serving.search.request import MAX_FILTERS, MAX_K

_STATUSES = ["PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE"]
REQUEST: dict[str, Any] = {
    "type": "object",
    "description": "Either `vector` or `entity`.",
    "required": ["feature"],
    "additionalProperties": False,
    "properties": {
        "feature": {
            "type": "string",
            "description": "A feature of type vector<N>: view:feature, view@1.2.0:feature.",
        },
        "vector": {
            "type": "array",
            "items": {"type": "number"},
            "description": "As many finite numbers as the feature has.",
        },
        "entity": {
            "type": "object",
            "additionalProperties": {},
            "description": "Join key → value: its own vector is taken, and it is no hit itself.",
        },
        "k": {"type": "integer", "minimum": 1, "maximum": MAX_K, "default": 10},
        "metric": {"type": "string", "enum": list(METRICS), "default": COSINE},
        "exact": {
            "type": "boolean",
            "default": False,
            "description": "Look at all vectors, however many they are.",
        },
        "filter": {
            "type": "object",
            "additionalProperties": {},
            "description": f"Feature of the same version → what it must be, of {MAX_FILTERS} at"
            ' most: a value, null, a list of values, or bounds as in {"gte": 1, "lt": 5}.',
        },
        "features": {**TEXTS, "description": "Told of each hit, of any view with its join keys."},
        "full_feature_names": {"type": "boolean", "default": False},
    },
}
ANSWER: dict[str, Any] = {
    "type": "object",
    "required": ["metadata", "hits"],
    "properties": {
        "metadata": {
            "type": "object",
            "required": [
                "feature",
                "metric",
                "value_types",
                "searched",
                "indexed_at",
                "is_behind",
                "is_complete",
                "index",
                "recall",
            ],
            "properties": {
                "feature": {"type": "string"},
                "metric": {"type": "string"},
                "value_types": {
                    "type": "object",
                    "description": "The declared type of each key and feature.",
                    "additionalProperties": {"type": "string"},
                },
                "searched": {"type": "integer", "description": "Vectors in the index."},
                "indexed_at": {"type": "string", "format": "date-time"},
                "is_behind": {
                    "type": "boolean",
                    "description": "Rows came since that are not in the index.",
                },
                "is_complete": {
                    "type": "boolean",
                    "description": "No candidate was left that may be nearer: `exact`, of all"
                    " vectors; `cells`, of those of the cells that were looked at.",
                },
                "index": {
                    "type": "string",
                    "enum": ["exact", "cells"],
                    "description": "All vectors were looked at, or those of the nearest cells.",
                },
                "recall": {
                    "type": "number",
                    "description": "The share of the nearest that it finds, as was measured when"
                    " it was built; 1 where all were looked at.",
                },
            },
        },
        "hits": {
            "type": "array",
            "description": "The nearest first.",
            "items": {
                "type": "object",
                "required": ["entity", "distance", "event_timestamp", "features", "statuses"],
                "properties": {
                    "entity": {"type": "object", "additionalProperties": {}},
                    "distance": {"type": "number", "description": "Less is nearer."},
                    "event_timestamp": {"type": "string", "format": "date-time"},
                    "features": {"type": "object", "additionalProperties": {}},
                    "statuses": {
                        "type": "object",
                        "additionalProperties": {"type": "string", "enum": _STATUSES},
                    },
                },
            },
        },
    },
}
EXAMPLES = [
    OpenApiExample(
        "The nearest two that are published",
        value={
            "feature": "documents:embedding",
            "vector": [0.6, 0.8, 0.0],
            "k": 2,
            "filter": {"state": "published"},
            "features": ["documents:title"],
        },
        request_only=True,
    ),
    OpenApiExample(
        "Two hits",
        value={
            "metadata": {
                "feature": "documents@1.0.0:embedding",
                "metric": "cosine",
                "value_types": {"document_id": "int64", "title": "string"},
                "searched": 1000,
                "indexed_at": "2026-03-01T11:00:00.000000Z",
                "is_behind": False,
                "is_complete": True,
                "index": "exact",
                "recall": 1.0,
            },
            "hits": [
                {
                    "entity": {"document_id": document_id},
                    "distance": distance,
                    "event_timestamp": "2026-02-28T09:30:00.000000Z",
                    "features": {"title": title},
                    "statuses": {"title": "PRESENT"},
                }
                for document_id, distance, title in (
                    (7, 0.0, "How refunds work"),
                    (12, 0.04, "Opening hours"),
                )
            ],
        },
        response_only=True,
    ),
]
#: Decorates the view's ``post``.
documented = extend_schema(
    operation_id="search",
    request={"application/json": REQUEST},
    responses={
        200: OpenApiResponse(ANSWER, description="The k nearest, or as many as there are."),
        **problems(
            {
                401: "no live token.",
                403: "the token's user lacks read_online, or read_offline of the searched view.",
                404: "no such project, view, version or feature.",
                410: "the version was retired.",
                413: "too_many_numbers or too_many_values (of k hits), too_many_features, or too"
                " large a body.",
                422: "an invalid request, and says what would be valid; no_vector: the entity has"
                " none now.",
                503: "not_loaded, not_indexed, not_ready or redis_unreachable; ask again.",
            }
        ),
    },
    examples=EXAMPLES,
)
