"""get-feature-context in the OpenAPI schema: request, answers, an example of each.

Not for checking requests: ``request`` does that.
"""

from __future__ import annotations

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema

from serving.context.request import MAX_ENTITIES, MAX_TOKENS
from serving.online.openapi import PROBLEMS
from serving.openapi import TEXTS, request_schema

_LINE = "segment=power_user, watched 47 titles in last 30 days, last genre watched: documentary"
REQUEST = request_schema(
    entities=f"Join key → one value a row, of {MAX_ENTITIES} rows at most. Keys are typed.",
    max_tokens={
        "type": "integer",
        "minimum": 1,
        "maximum": MAX_TOKENS,
        "description": "Of each entity's text; without it, all is told.",
    },
)
del REQUEST["properties"]["full_feature_names"]
ANSWER = {
    "type": "object",
    "required": ["metadata", "results"],
    "properties": {
        "metadata": {
            "type": "object",
            "required": ["told_by", "bytes_per_token"],
            "properties": {
                "told_by": {"type": "string", "enum": ["template", "names"]},
                "bytes_per_token": {
                    "type": "integer",
                    "description": "What `tokens` takes a token for: it is an estimate.",
                },
            },
        },
        "results": {
            "type": "array",
            "description": "One an entity row, in the request's order.",
            "items": {
                "type": "object",
                "required": ["entity", "text", "tokens", "features", "dropped", "missing"],
                "properties": {
                    "entity": {
                        "type": "object",
                        "description": "Its join keys, and what else was sent.",
                    },
                    "text": {"type": "string"},
                    "tokens": {"type": "integer", "description": "An estimate."},
                    "features": {**TEXTS, "description": "Told in the text."},
                    "dropped": {**TEXTS, "description": "Without room in `max_tokens`."},
                    "missing": {
                        "type": "object",
                        "description": "Feature without a value → why.",
                        "additionalProperties": {
                            "type": "string",
                            "enum": ["NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE"],
                        },
                    },
                },
            },
        },
    },
}
EXAMPLES = [
    OpenApiExample(
        "What a recommender's prompt says of a user",
        value={"feature_service": "recommender", "entities": {"user_id": [1]}, "max_tokens": 50},
        request_only=True,
    ),
    OpenApiExample(
        "One line",
        value={
            "metadata": {"told_by": "template", "bytes_per_token": 4},
            "results": [
                {
                    "entity": {"user_id": 1},
                    "text": _LINE,
                    "tokens": 22,
                    "features": ["user_segment", "watch_count_30d", "last_genre"],
                    "dropped": [],
                    "missing": {},
                }
            ],
        },
        response_only=True,
    ),
]
#: Decorates the view's ``post``.
documented = extend_schema(
    operation_id="get_feature_context",
    request={"application/json": REQUEST},
    responses={200: OpenApiResponse(ANSWER, description="One text an entity row."), **PROBLEMS},
    examples=EXAMPLES,
)
