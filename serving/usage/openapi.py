"""usage in the OpenAPI schema: its answer and its problems."""

from __future__ import annotations

from typing import Any

from serving.choices import Door
from serving.openapi import TEXTS, problems

_TEXT: dict[str, Any] = {"type": "string"}
_COUNT: dict[str, Any] = {"type": "integer"}
_SECONDS: dict[str, Any] = {"type": "number"}
_INSTANT: dict[str, Any] = {"type": "string", "format": "date-time"}

_USED: dict[str, Any] = {
    "type": "object",
    "description": "Reads that are alike in what `by` names.",
    "required": ["features", "reads", "rows", "statuses", "seconds", "first_at", "last_at"],
    "properties": {
        "feature_view": _TEXT,
        "version": _TEXT,
        "feature": _TEXT,
        "through": {**_TEXT, "description": "The on-demand version that was computed from it."},
        "feature_service": {**_TEXT, "description": "Empty: none was named."},
        "reader": _TEXT,
        "door": {
            **_TEXT,
            "enum": [str(door) for door in Door],
        },
        "day": {**_TEXT, "format": "date"},
        "features": TEXTS,
        "reads": {
            **_COUNT,
            "description": "Calls; by feature or `through`, calls that read each version.",
        },
        "rows": {**_COUNT, "description": "Entity rows."},
        "statuses": {
            "type": "object",
            "description": "Values by status; all 0 where they were not looked at.",
            "additionalProperties": _COUNT,
        },
        "seconds": {
            "type": "object",
            "description": "Of reads that were timed; `mean` is null where none was.",
            "properties": {
                "mean": {**_SECONDS, "nullable": True},
                "p50_within": {**_SECONDS, "nullable": True},
                "p99_within": {**_SECONDS, "nullable": True},
                "slowest": {**_SECONDS, "nullable": True},
            },
        },
        "first_at": _INSTANT,
        "last_at": _INSTANT,
    },
}
_COMPARED: dict[str, Any] = {
    "type": "object",
    "description": "How far the newest sampled values, 20,000 at most, lie from the baseline.",
    "required": ["version", "since", "samples", "statuses", "baseline", "drift", "why_not"],
    "properties": {
        "version": _TEXT,
        "since": {**_INSTANT, "description": "The minute of the oldest of them."},
        "samples": {**_COUNT, "description": "How many it rests on."},
        "statuses": {"type": "object", "additionalProperties": _COUNT},
        "baseline": {
            "type": "object",
            "nullable": True,
            "required": ["set_at", "rows", "nulls"],
            "properties": {"set_at": _INSTANT, "rows": _COUNT, "nulls": _COUNT},
        },
        "drift": {
            "type": "object",
            "description": "By measure, as of runs; an infinity is a word. Without what lacks.",
            "additionalProperties": {"oneOf": [{"type": "number"}, _TEXT]},
        },
        "why_not": {**_TEXT, "description": "Why there is no more; empty where nothing lacks."},
    },
}
ANSWER: dict[str, Any] = {
    "type": "object",
    "required": [
        "count",
        "next",
        "previous",
        "results",
        "since",
        "counted_until",
        "kept_days",
        "sees",
        "dropped",
    ],
    "properties": {
        "count": _COUNT,
        "next": {**_TEXT, "nullable": True},
        "previous": {**_TEXT, "nullable": True},
        "results": {"type": "array", "items": _USED},
        "since": _INSTANT,
        "counted_until": {**_INSTANT, "nullable": True},
        "kept_days": _COUNT,
        "sees": {**_TEXT, "enum": ["all", "own"]},
        "dropped": {**_COUNT, "nullable": True},
        "samples_dropped": {
            **_COUNT,
            "description": "Beside `samples`: values of the view that had no room.",
        },
        "compared": {
            "type": "array",
            "description": "Beside `samples`: a version each, as far as there are some of it.",
            "items": _COMPARED,
        },
        "samples": {
            "type": "array",
            "description": "Where `samples` asks for them, the newest first.",
            "items": {
                "type": "object",
                "required": ["version", "at", "status"],
                "properties": {
                    "version": _TEXT,
                    "at": _INSTANT,
                    "status": _TEXT,
                    "value": {"description": "As it was answered; absent: it was too long."},
                },
            },
        },
    },
}
PROBLEMS = problems(
    {
        401: "no live token.",
        404: "no such project, view, version or service.",
        422: "a filter that nothing could fit.",
        503: "the store of usage does not answer.",
    }
)
