"""get-historical-features in the OpenAPI schema: request, answers, an example of each.

Not for checking requests: ``request`` does that.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from lib.media_types import JSON
from serving.historical.answers import ANSWERS
from serving.historical.forms import UPLOADS
from serving.openapi import TEXTS, answer_schema, problems, request_schema

_TIMING: dict[str, Any] = {
    "type": "string",
    "enum": ["known", "event"],
    "default": "known",
    "description": "known: nothing that arrived after the row's time; event: whatever was true.",
}
_INSTANT: dict[str, Any] = {"type": "string", "format": "date-time"}
REQUEST = request_schema(
    required=False,
    entities="Column → one value a row: event_timestamp, join keys, any other.",
    timing=_TIMING,
    all_entities={
        "type": "object",
        "description": "Instead of entities: every entity at each instant of `at`; or from `start`"
        " to `end`, at each step of `every`, or without it whenever something became known.",
        "additionalProperties": False,
        "properties": {
            "at": {"oneOf": [_INSTANT, {"type": "array", "items": _INSTANT}]},
            "start": _INSTANT,
            "end": _INSTANT,
            "every": {"type": "string", "example": "1d"},
            "limit": {"type": "integer", "minimum": 1},
            "after": {
                "type": "object",
                "description": "The row to go on after, as `next` of an answer says it.",
            },
        },
    },
    entity_query={
        "type": "object",
        "description": "Instead of entities: rows of a registered data source, by one SELECT over"
        " it (projection, filter, scalar functions).",
        "required": ["source", "sql"],
        "additionalProperties": False,
        "properties": {"source": {"type": "string"}, "sql": {"type": "string"}},
    },
    views={
        "type": "object",
        "description": "A name that references use → the view it stands for (absent: the view of"
        " that name), and join key → the column of entities that has it.",
        "additionalProperties": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "view": {"type": "string"},
                "join_keys": {"type": "object", "additionalProperties": {"type": "string"}},
            },
        },
    },
    explain={
        "type": "boolean",
        "default": False,
        "description": "Count the rows on which the two timings differ.",
    },
)
_INT64: dict[str, Any] = {
    "type": "boolean",
    "default": False,
    "description": "JSON alone: write 64-bit whole numbers as text, and take keys of int64 so.",
}
#: What is answered at once says how, too.
_READ: dict[str, Any] = {
    **REQUEST,
    "properties": {**REQUEST["properties"], "int64_as_text": _INT64},
}
ANSWER = answer_schema(
    statuses=["PRESENT", "NULL_VALUE", "NOT_FOUND"],
    warnings=TEXTS,
    explain={"type": "array", "items": {"type": "object"}},
    next={"type": "object", "description": "The last row, where all_entities had a limit."},
)
BINARY: dict[str, Any] = {"type": "string", "format": "binary"}
PARAMETERS = [
    OpenApiParameter("features", str, many=True, description="with an upload: one reference each"),
    OpenApiParameter("feature_service", str, description="with an upload: instead of features"),
    OpenApiParameter("timing", str, enum=["known", "event"], description="with an upload"),
    OpenApiParameter("full_feature_names", bool, description="with an upload"),
    OpenApiParameter("explain", bool, description="with an upload"),
    OpenApiParameter("views", str, description="with an upload: the object as JSON"),
]
_EXAMPLE = OpenApiExample(
    "One driver at two times",
    value={
        "features": ["driver_hourly:conv_rate"],
        "entities": {
            "driver_id": [1001, 1001],
            "event_timestamp": ["2026-03-01T12:00:00Z", "2026-03-02T12:00:00Z"],
            "label": [0, 1],
        },
    },
    request_only=True,
    media_type=JSON,
)
_TWICE = OpenApiExample(
    "One view for two columns of keys",
    value={
        "features": ["buyer:rating", "seller:rating"],
        "views": {
            "buyer": {"view": "customer", "join_keys": {"customer_id": "buyer_id"}},
            "seller": {"view": "customer", "join_keys": {"customer_id": "seller_id"}},
        },
        "full_feature_names": True,
        "entities": {
            "buyer_id": [1001],
            "seller_id": [1002],
            "event_timestamp": ["2026-03-01T12:00:00Z"],
        },
    },
    request_only=True,
    media_type=JSON,
)
_PROBLEMS = problems(
    {
        401: "no live token.",
        403: "the token's user lacks read_offline.",
        404: "no such project, view, version or feature.",
        406: "Accept names no form an answer can have.",
        410: "the version was retired.",
        413: "too many rows, too large a body, or more work than one question may take.",
        422: "an invalid request or entity frame; says what would be valid.",
        503: "not_ready or offline_store_unavailable; ask again.",
    }
)
#: Decorates the view's ``post``.
documented = extend_schema(
    operation_id="get_historical_features",
    parameters=[
        *PARAMETERS,
        OpenApiParameter("int64_as_text", bool, description="with an upload, for JSON"),
    ],
    request={JSON: _READ, **dict.fromkeys(UPLOADS, BINARY)},
    responses={
        (200, JSON): OpenApiResponse(ANSWER, description="Feast's columnar shape."),
        **{
            (200, form): OpenApiResponse(
                OpenApiTypes.BINARY,
                description="Messages are in the header Assay-Warnings, next in Assay-Next.",
            )
            for form in ANSWERS
            if form != JSON
        },
        **_PROBLEMS,
    },
    examples=[_EXAMPLE, _TWICE],
)
