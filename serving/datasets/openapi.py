"""Datasets in the OpenAPI schema: what is sent, what comes back.

Not for checking requests: ``request`` does that.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema

from serving.datasets.request import PARAMETERS
from serving.historical.forms import UPLOADS
from serving.historical.media_types import JSON, PARQUET
from serving.historical.openapi import BINARY, REQUEST
from serving.openapi import problems

#: What a training set may ask for and a dataset not: it has a frame, and says all it knows.
_NOT_HERE = ("all_entities", "explain")
_REQUEST: dict[str, Any] = {
    **REQUEST,
    "required": ["name", "entities"],
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,62}$"},
        "description": {"type": "string", "maxLength": 2000},
        "split": {
            "type": "object",
            "description": "Adds a column that says which part each row is of.",
            "required": ["by"],
            "properties": {
                "by": {"type": "string", "enum": ["random", "time", "entity"]},
                "shares": {"type": "object", "additionalProperties": {"type": "number"}},
                "seed": {"type": "integer", "default": 0},
                "keys": {"type": "array", "items": {"type": "string"}},
                "before": {
                    "type": "object",
                    "additionalProperties": {"type": "string", "nullable": True},
                },
                "column": {"type": "string", "default": "split"},
            },
        },
        **{name: of for name, of in REQUEST["properties"].items() if name not in _NOT_HERE},
    },
}
_PROBLEMS = {
    401: "no live token.",
    403: "the token's user lacks read_offline, or a grant.",
    404: "no such project, dataset, view, version or feature.",
    409: "not made (yet), or too many wait or are kept.",
    503: "a store does not answer; ask again.",
}
#: Decorates the view's ``post``.
create = extend_schema(
    operation_id="create_dataset",
    parameters=[
        OpenApiParameter(name, str, description=says, many=name == "features")
        for name, says in PARAMETERS.items()
    ],
    request={JSON: _REQUEST, **dict.fromkeys(UPLOADS, BINARY)},
    responses={
        202: OpenApiTypes.OBJECT,
        **problems(
            {
                **_PROBLEMS,
                410: "a version was retired.",
                413: "too many rows or too large a body.",
                422: "an invalid request or entity frame; says what would be valid.",
            }
        ),
    },
)
download = extend_schema(
    operation_id="download_dataset",
    responses={
        (200, PARQUET): OpenApiResponse(OpenApiTypes.BINARY, description="The rows."),
        **problems(_PROBLEMS),
    },
)
