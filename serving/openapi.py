"""What both reads share in the OpenAPI schema: how features are asked for, how columns answer.

Not for what one of them adds: each read's own ``openapi`` says that.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

TEXTS: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
#: What a download may say that goes on where another broke off.
RANGES = [
    OpenApiParameter("Range", str, OpenApiParameter.HEADER, description="As in bytes=1000-."),
    OpenApiParameter(
        "If-Range", str, OpenApiParameter.HEADER, description="The ETag that the range is of."
    ),
]


def request_schema(
    *, entities: str, required: bool = True, **properties: dict[str, Any]
) -> dict[str, Any]:
    """Return the body that names features and entities; ``properties`` are the call's own.

    ``required``: there is no other way to say whom it is about.
    """
    return {
        "type": "object",
        "description": "Either `features` or `feature_service`.",
        **({"required": ["entities"]} if required else {}),
        "additionalProperties": False,
        "properties": {
            "features": {
                **TEXTS,
                "description": "view:feature, view@1.2.0:feature, view@v2:feature or view:*",
            },
            "feature_service": {"type": "string"},
            "entities": {
                "type": "object",
                "description": entities,
                "additionalProperties": {"type": "array", "items": {}},
            },
            "full_feature_names": {
                "type": "boolean",
                "default": False,
                "description": "Name columns view__feature.",
            },
            **properties,
        },
    }


def answer_schema(*, statuses: list[str], **metadata: dict[str, Any]) -> dict[str, Any]:
    """Return Feast's columnar answer; ``metadata`` stands beside the names of its columns."""
    return {
        "type": "object",
        "required": ["metadata", "results"],
        "properties": {
            "metadata": {
                "type": "object",
                "required": ["feature_names"],
                "properties": {
                    "feature_names": TEXTS,
                    "value_types": {
                        "type": "array",
                        "description": "The declared type of each, as in decimal(10,2).",
                        "items": {"type": "string", "nullable": True},
                    },
                    **metadata,
                },
            },
            "results": {
                "type": "array",
                "description": "One a column, as feature_names has them.",
                "items": {
                    "type": "object",
                    "required": ["values", "statuses", "event_timestamps"],
                    "properties": {
                        "values": {"type": "array", "items": {}},
                        "statuses": {
                            "type": "array",
                            "items": {"type": "string", "enum": statuses},
                        },
                        "event_timestamps": {
                            "type": "array",
                            "items": {"type": "string", "format": "date-time"},
                        },
                    },
                },
            },
        },
    }


def problems(meanings: dict[int, str]) -> dict[Any, OpenApiResponse]:
    """Return the error answers: HTTP status → when it comes."""
    return {
        status: OpenApiResponse(
            OpenApiTypes.OBJECT, description=f"application/problem+json: {meaning}"
        )
        for status, meaning in meanings.items()
    }


def ranged(media_type: str) -> dict[Any, OpenApiResponse]:
    """Return the answers of a file that may be asked for in parts."""
    return {
        (200, media_type): OpenApiResponse(OpenApiTypes.BINARY, description="The rows."),
        (206, media_type): OpenApiResponse(OpenApiTypes.BINARY, description="That range of them."),
        304: OpenApiResponse(description="If-None-Match has its ETag."),
        **problems({416: "the range begins behind the end."}),
    }
