"""get-online-features in the OpenAPI schema: request, answers, an example of each.

Not for checking requests: ``request`` does that.
"""

from __future__ import annotations

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema

from lib.media_types import ARROW, JSON
from serving.openapi import answer_schema, problems, request_schema

REQUEST = request_schema(
    entities="Join key → one value a row; all columns of one length. Keys are typed.",
    include_feature_view_version_metadata={"type": "boolean", "default": False},
    int64_as_text={
        "type": "boolean",
        "default": False,
        "description": "Write int64 as text, and take keys of int64 so: for JavaScript.",
    },
)
ANSWER = answer_schema(
    statuses=["PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE"],
    deprecated={
        "type": "array",
        "description": "The versions among them that are deprecated; left out where none is.",
        "items": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "version": {"type": "string"},
                "deprecated_at": {"type": "string", "format": "date-time", "nullable": True},
                "sunset_at": {"type": "string", "format": "date-time", "nullable": True},
            },
        },
    },
    feature_view_metadata={
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "version": {"type": "integer", "description": "The major version."},
                "full_version": {"type": "string"},
                "freshness": {
                    "type": "object",
                    "properties": {
                        "promise": {"type": "string", "nullable": True},
                        "covered_until": {"type": "string", "format": "date-time"},
                        "age_seconds": {"type": "number"},
                    },
                },
            },
        },
    },
)
EXAMPLES = [
    OpenApiExample(
        "Two drivers",
        value={"features": ["driver_hourly:conv_rate"], "entities": {"driver_id": [1001, 1002]}},
        request_only=True,
    ),
    OpenApiExample(
        "One found, one never seen",
        value={
            "metadata": {"feature_names": ["driver_id", "conv_rate"]},
            "results": [
                {
                    "values": [1001, 1002],
                    "statuses": ["PRESENT", "PRESENT"],
                    "event_timestamps": ["1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"],
                },
                {
                    "values": [0.5, None],
                    "statuses": ["PRESENT", "NOT_FOUND"],
                    "event_timestamps": ["2026-03-01T11:00:00.000000Z", "1970-01-01T00:00:00Z"],
                },
            ],
        },
        response_only=True,
    ),
]
PROBLEMS = problems(
    {
        401: "no live token.",
        403: "the token's user lacks read_online.",
        404: "no such project, view, version or feature.",
        410: "the version was retired.",
        413: "too many entity rows, or too large a body.",
        422: "an invalid request; says what would be valid.",
        503: "not_loaded, not_ready or redis_unreachable; ask again.",
    }
)
#: Decorates the view's ``post``.
documented = extend_schema(
    operation_id="get_online_features",
    request={"application/json": REQUEST},
    responses={
        (200, JSON): OpenApiResponse(
            ANSWER, description="One result a column, as feature_names has them."
        ),
        (200, ARROW): OpenApiResponse(
            OpenApiTypes.BINARY, description="Typed columns; beside each feature NAME:status."
        ),
        **PROBLEMS,
        **problems({406: "Accept names no form an answer can have."}),
    },
    examples=EXAMPLES,
)
