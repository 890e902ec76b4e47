"""How a feature or a service is read, in words that can be copied: Python, and curl.

Parts of the pages that the registry has of both. Not for reading: ``online`` and ``historical``
answer. Examples have values of the right types and no real ones.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from registry.catalogue.snippets import Snippet, register

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.catalogue.snippets import Wanted

#: An example of each type of key; others are text.
EXAMPLES: dict[str, Any] = {
    "int32": 1001,
    "int64": 1001,
    "float32": 1.5,
    "float64": 1.5,
    "bool": True,
    "date": "2026-01-31",
    "timestamp": "2026-01-31T00:00:00Z",
}


def announce() -> None:
    register(ways_to_read)


def ways_to_read(wanted: Wanted) -> Iterator[Snippet]:
    """Yield every way, the nearest to a model first; of what does not answer there is none."""
    if wanted.is_read and wanted.is_online:
        yield _online(wanted)
        yield _curl(wanted)
    if wanted.is_read:
        yield _training_set(wanted)


def _asked(wanted: Wanted) -> str:
    """Return what is asked for, as an argument of the client's calls."""
    if wanted.service:
        return f"feature_service={wanted.service!r}"
    return f"features=[{wanted.reference!r}]"


def _online(wanted: Wanted) -> Snippet:
    text = (
        "from assay import FeatureStore\n\n"
        f"store = FeatureStore(project={wanted.project!r})\n"
        f"{_request_words(wanted)}"
        "answer = store.get_online_features(\n"
        f"    {_asked(wanted)},\n"
        f"    entity_rows=[{_example(wanted)}],\n"
        ")\n"
        "print(answer.to_dict())\n"
    )
    return Snippet("Python", "latest values", text)


def _curl(wanted: Wanted) -> Snippet:
    body: dict[str, Any] = {"entities": {k: [v] for k, v in _example(wanted).items()}}
    if wanted.service:
        body["feature_service"] = wanted.service
    else:
        body["features"] = [wanted.reference]
    # A quote inside would end the shell's own.
    sent = json.dumps(body, ensure_ascii=False).replace("'", "'\\''")
    text = (
        'curl -H "Authorization: Bearer $ASSAY_TOKEN" \\\n'
        "  -H 'Content-Type: application/json' \\\n"
        f"  -d '{sent}' \\\n"
        f"  {wanted.base_url}/api/v1/projects/{wanted.project}/get-online-features\n"
    )
    return Snippet("curl", "the same over HTTP", text)


def _training_set(wanted: Wanted) -> Snippet:
    values = _example(wanted).items()
    frame = "".join(f"    {name!r}: [{value!r}],\n" for name, value in values)
    text = (
        "from datetime import UTC, datetime\n\n"
        "from assay import FeatureStore\n\n"
        f"store = FeatureStore(project={wanted.project!r})\n"
        f"{_request_words(wanted)}"
        f"frame = {{\n{frame}"
        "    'event_timestamp': [datetime(2026, 1, 31, tzinfo=UTC)],\n}\n"
        f"job = store.get_historical_features(frame, {_asked(wanted)})\n"
        "print(job.to_dict())\n"
    )
    return Snippet("Python, training set", "values as they were known at each time", text)


def _request_words(wanted: Wanted) -> str:
    """Return a line that says which values are not found by the keys, and their types."""
    typed = ", ".join(f"{name} ({kind})" for name, kind in wanted.request.items())
    return f"# computed with what each row brings: {typed}\n" if typed else ""


def _example(wanted: Wanted) -> dict[str, Any]:
    brought = {**wanted.keys, **wanted.request}
    return {name: EXAMPLES.get(kind, "a") for name, kind in brought.items()}
