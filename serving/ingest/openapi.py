"""The pushing calls in the OpenAPI schema. Not for checking requests: ``request`` does that."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from serving.openapi import TEXTS, answer_schema, problems

_DF = {
    "type": "object",
    "description": "Column → one value a row; all columns of one length.",
    "additionalProperties": {"type": "array", "items": {}},
}
_PARTIAL = {
    "type": "boolean",
    "default": False,
    "description": "Take the good rows and list the others; else one bad row refuses all.",
}
_IGNORED = {"type": "boolean", "description": "Feast's; it changes nothing here."}
_REFUSED: dict[str, Any] = {
    "type": "array",
    "description": "The first 100 of what is wrong.",
    "items": {
        "type": "object",
        "properties": {
            "row": {"type": "integer", "description": "Counted from 0."},
            "column": {"type": "string"},
            "value": {"type": "string"},
            "valid": {"type": "string"},
        },
    },
}
_ANSWER: dict[str, Any] = {
    "type": "object",
    "required": ["rows", "taken", "refused_count", "refused", "feature_views", "received_at"],
    "properties": {
        "rows": {"type": "integer"},
        "taken": {"type": "integer", "description": "Readable online by now, or waiting."},
        "waiting": {
            "type": "integer",
            "description": "Of those, how many lie in the future: readable online when it comes.",
        },
        "refused_count": {"type": "integer"},
        "refused": _REFUSED,
        "left_out": {
            "type": "object",
            "description": "By version, how many of those that were taken its conditions left out.",
            "additionalProperties": {"type": "integer"},
        },
        "feature_views": TEXTS,
        "to": {"type": "string"},
        "received_at": {"type": "string", "format": "date-time"},
        "repeated": {"type": "boolean", "description": "It was taken when first sent."},
    },
}
_PROBLEMS = problems(
    {
        401: "no live token.",
        403: "the token's user lacks push_featureview.",
        404: "no such project, push source or view, or no served version reads it.",
        409: "the Idempotency-Key was used for other rows, or what is written to has windows.",
        413: "too many rows, or too large a body.",
        422: "an invalid request, or rows that cannot be taken; `refused` lists them.",
        503: "nothing was taken: the log is full, or Redis does not answer; send it again.",
    }
)
_KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="Makes a call that is repeated within a day count once; at most 200 characters.",
)


def _said(operation: str, example: dict[str, Any], **properties: Any) -> dict[str, Any]:
    body = {
        "type": "object",
        "required": [next(iter(properties)), "df"],
        "additionalProperties": False,
        "properties": {
            **properties,
            "df": _DF,
            "partial": _PARTIAL,
            "allow_registry_cache": _IGNORED,
            "transform_on_write": _IGNORED,
        },
    }
    return {
        "operation_id": operation,
        "request": {"application/json": body},
        "parameters": [_KEY],
        "responses": {200: OpenApiResponse(_ANSWER, description="What was taken."), **_PROBLEMS},
        "examples": [OpenApiExample("One row", value=example, request_only=True)],
    }


_ROW = {"driver_id": [1001], "fare": [12.5]}
documented_push = extend_schema(
    **_said(
        "push",
        {"push_source_name": "trips", "df": {**_ROW, "at": ["2026-03-01T12:00:00Z"]}},
        push_source_name={"type": "string"},
        to={"type": "string", "enum": ["online", "online_and_offline"], "default": "online"},
    )
)
documented_write = extend_schema(
    **_said(
        "write_to_online_store",
        {
            "feature_view_name": "last_trip",
            "df": {**_ROW, "event_timestamp": ["2026-03-01T12:00:00Z"]},
        },
        feature_view_name={
            "type": "string",
            "description": "view, view@1.2.0 for one version or view@v1 for a major's.",
        },
    )
)


def _computed() -> dict[str, Any]:
    """Return the answer of compute: that of a read, and what became of the rows."""
    answer = answer_schema(
        statuses=["PRESENT", "NULL_VALUE", "NOT_FOUND"],
        feature_view={"type": "string", "description": "The version whose transform it was."},
        warnings=TEXTS,
    )
    answer["properties"] |= {
        "rows": {"type": "integer"},
        "left_out": {"type": "integer", "description": "By the view's conditions: NOT_FOUND."},
        "refused_count": {"type": "integer"},
        "refused": _REFUSED,
    }
    return answer


documented_compute = extend_schema(
    operation_id="compute",
    request={
        "application/json": {
            "type": "object",
            "required": ["feature_view", "df"],
            "additionalProperties": False,
            "properties": {
                "feature_view": {
                    "type": "string",
                    "description": "view, view@1.2.0 or view@v2, as in references.",
                },
                "df": _DF,
                "partial": _PARTIAL,
            },
        }
    },
    responses={
        200: OpenApiResponse(_computed(), description="One result a column, a value each row."),
        **problems(
            {
                401: "no live token.",
                403: "the token's user lacks read_online, or a grant.",
                404: "no such project, view or version.",
                410: "the version was retired.",
                413: "too many rows, or too large a body.",
                422: "an invalid request, rows that cannot be made, or not by a view.",
                503: "the version is not ready, or the engine's process ended; ask again.",
            }
        ),
    },
    examples=[
        OpenApiExample(
            "One row",
            value={
                "feature_view": "last_trip",
                "df": {**_ROW, "at": ["2026-03-01T12:00:00Z"], "city": ["Bern"]},
            },
            request_only=True,
        )
    ],
)
