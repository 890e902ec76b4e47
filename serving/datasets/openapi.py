"""Datasets in the OpenAPI schema: what is sent, what comes back.

Not for checking requests: ``request`` does that.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema

from lib.answer_schemas import answers
from lib.body_schemas import TEXT, YES_OR_NO, object_of
from lib.media_types import JSON, PARQUET
from serving.datasets.outputs import DatasetAnswer
from serving.datasets.request import PARAMETERS
from serving.historical.forms import UPLOADS
from serving.historical.openapi import BINARY, REQUEST
from serving.openapi import RANGES, problems, ranged

#: What a training set may ask for and a dataset not: it says all it knows.
_NOT_HERE = ("explain",)
_REQUEST: dict[str, Any] = {
    **REQUEST,
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,62}$"},
        "description": {"type": "string", "maxLength": 2000},
        "expires": {
            "type": "string",
            "pattern": "^[0-9]{1,9}[wdhms]$",
            "description": "How long it is kept; without it until somebody ends it.",
        },
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
    410: "it was ended, or a version of what it is asked to be made of was retired.",
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
        **answers(DatasetAnswer, 202),
        **problems(
            {
                **_PROBLEMS,
                413: "too many rows or too large a body.",
                422: "an invalid request or entity frame; says what would be valid.",
            }
        ),
    },
)
download = extend_schema(
    operation_id="download_dataset",
    parameters=RANGES,
    responses={**ranged(PARQUET), **problems(_PROBLEMS)},
)
#: Decorates the view that ends one.
end = extend_schema(
    operation_id="end_dataset_version",
    request=object_of(("reason",), reason=TEXT, despite_downloads=YES_OR_NO),
    responses={**answers(DatasetAnswer), **problems(_PROBLEMS)},
)
