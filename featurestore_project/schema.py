"""What every call has in common in the OpenAPI schema: its tag, its summary, its problems.

drf-spectacular calls ``finished`` with the whole schema. Not for single calls: each view says what
it takes and answers.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from lib.answer_schemas import hoisted

PROBLEM = {
    "type": "object",
    "description": "RFC 9457. Facts that `detail` names are members beside these.",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string", "example": "about:blank"},
        "title": {"type": "string", "example": "Not Found"},
        "status": {"type": "integer", "example": 404},
        "code": {"type": "string", "description": "Stable.", "example": "reference_not_found"},
        "detail": {"type": "string", "description": "The value, what is valid, the next step."},
        "errors": {"description": "Of definitions: each mistake with its file and line."},
    },
    "additionalProperties": True,
}
#: What any call may answer, where it says nothing of its own.
COMMON = {
    401: "no live token.",
    422: "the request cannot be right; says what would be.",
    429: "too many calls; Retry-After says for how many seconds.",
    503: "a part does not answer; Retry-After says when to ask again.",
}
#: The same of calls in a project.
IN_A_PROJECT = {
    403: "known, and without the right.",
    404: "there is none, or you may not know that there is.",
}
#: Tag → what it is about, and the first parts of paths that it has.
TAGS: dict[str, tuple[str, tuple[str, ...]]] = {
    "Reading": (
        "Values of features: the latest, those of training sets, files.",
        ("get-online-features", "get-feature-context", "get-historical-features")
        + ("historical-jobs", "offline-files", "datasets", "search"),
    ),
    "Writing": (
        "Rows that programs send.",
        ("push", "write-to-online-store", "compute"),
    ),
    "Catalogue": (
        "What is defined, and where it comes from.",
        ("projects", "entities", "data-sources", "feature-views", "feature-services", "features")
        + ("lineage", "roots", "connections"),
    ),
    "Definitions and review": (
        "Proposing, deciding, and talking about it.",
        ("definitions", "reviews", "proposals", "questions"),
    ),
    "Runs and quality": (
        "What is computed, and whether it is right.",
        ("runs", "materialize", "materialize-incremental", "alerts", "certificates", "usage")
        + ("streams", "dead-letters"),
    ),
    "People and rights": (
        "Who may, who did, and who is told.",
        ("accounts", "audit", "grants", "login", "notifications", "service-accounts", "tokens")
        + ("whoami",),
    ),
}
OTHERS = "More"
_METHODS = {"get", "post", "put", "patch", "delete"}
#: How descriptions of problems begin where views say so; their media type says it too.
_PREFIX = "application/problem+json: "


def finished(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Return the schema with tags, summaries and problems (drf-spectacular's hook)."""
    components = result.setdefault("components", {}).setdefault("schemas", {})
    components["Problem"] = PROBLEM
    used = set()
    for path, operations in result["paths"].items():
        for method in _METHODS & operations.keys():
            operation = operations[method]
            operation["tags"] = [tag := _tag(path)]
            used.add(tag)
            operation.setdefault("summary", _summary(operation))
            _name_answers(operation, components)
            _say_problems(operation, path)
    abouts = {tag: about for tag, (about, _) in TAGS.items()} | {OTHERS: "What else there is."}
    result["tags"] = [{"name": t, "description": a} for t, a in abouts.items() if t in used]
    return result


def _name_answers(operation: dict[str, Any], components: dict[str, Any]) -> None:
    """Have what answers are made of among the components, each once."""
    for response in operation["responses"].values():
        for content in response.get("content", {}).values():
            content["schema"] = hoisted(content["schema"], components)


def _tag(path: str) -> str:
    parts = path.removeprefix("/api/v1/").removeprefix("projects/{project}/").split("/")
    return next((tag for tag, (_, first) in TAGS.items() if parts[0] in first), OTHERS)


def _summary(operation: dict[str, Any]) -> str:
    """Return the first sentence of what a call does, or its name."""
    first = " ".join(operation.get("description", "").partition("\n\n")[0].split())
    sentence = first.partition(". ")[0].rstrip(".")
    return sentence or operation["operationId"].replace("_", " ")


def _say_problems(operation: dict[str, Any], path: str) -> None:
    responses = operation["responses"]
    meanings = COMMON | (IN_A_PROJECT if "{project}" in path else {})
    if operation.get("security") == [{}] or not operation.get("security", True):
        meanings = {status: meaning for status, meaning in meanings.items() if status != 401}
    for status, meaning in meanings.items():
        responses.setdefault(str(status), {"description": meaning})
    for status in [each for each in responses if each >= "400"]:
        said = responses[status].get("description") or HTTPStatus(int(status)).phrase
        responses[status] = {
            "description": said.removeprefix(_PREFIX),
            "content": {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
            },
        }
    operation["responses"] = dict(sorted(responses.items()))
