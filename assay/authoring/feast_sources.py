"""The sources of Feast's views as ours: files come along, of warehouses what they read is told.
Not for the views themselves; see feast.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.authoring.carried import CHANGED, FILL, LOST, TODO, Carried
from assay.objects import DataSource

_IN_BUCKET = re.compile("s3[an]?://([^/]+)/*(.*)")
WAREHOUSES = ("BigQuery", "Redshift", "Snowflake", "Trino", "Athena", "Spark")


def carry_source(carried: Carried, spec: Mapping[str, Any], what: str) -> str:
    """Carry the batch source of a view; give its name."""
    source = spec.get("batch_source") or {}
    if stream := spec.get("stream_source"):
        kind = "Kafka" if "Kafka" in stream else "Kinesis" if "Kinesis" in stream else "push"
        carried.say(LOST, what, f"has a {kind} source; its batch source is carried")
    given = source.get("name") or f"{spec.get('name', '')}_source"
    name = carried.name(given, f"source {given}")
    if any(each.name == name and isinstance(each, DataSource) for each in carried.objects):
        return name
    event = source.get("timestamp_field")
    if not event:
        carried.say(FILL, f"source {given}", "does not say its column of event times")
    carried.objects.append(
        DataSource(
            name,
            event_timestamp=event or TODO,
            created_timestamp=source.get("created_timestamp_column") or None,
            description=source.get("description") or None,
            owner=source.get("owner") or None,
            tags=tags_of(source) or None,
            **_where(carried, source, given),
        )
    )
    return name


def _where(carried: Carried, source: Mapping[str, Any], given: str) -> dict[str, Any]:
    """Give the kind of ours and its keys."""
    what = f"source {given}"
    file = source.get("file") or {}
    if uri := file.get("uri") or (source.get("Spark") or {}).get("path"):
        is_delta = "delta" in (file.get("format") or {})
        if in_bucket := _IN_BUCKET.fullmatch(uri):
            bucket, below = in_bucket.groups("")
            carried.say(FILL, what, f"needs the name of the `connection` to the bucket {bucket}")
            below = below.rstrip("/") if is_delta else _files(carried, below, what)
            return {"type": "delta" if is_delta else "s3", "connection": TODO, "path": below}
        path = _path(carried, uri, what, is_folder=is_delta)
        return {"type": "delta", "path": path} if is_delta else {"path": path}
    kind = next((each for each in WAREHOUSES if each in source), None)
    kind = kind or source.get("class_type", "").rpartition(".")[2] or "no kind of its own"
    said = source.get(kind) or _configuration(source)
    read = {key: said[key] for key in ("table", "query") if said.get(key)}
    if kind == "PostgreSQLSource" and read:
        carried.say(FILL, what, "needs the name of the `connection` to its database")
        return {"type": "postgres", "connection": TODO, **read}
    where = next(iter(read.values()), "nothing that is said")
    carried.say(FILL, what, f"is of {kind} and reads {where}; name where its rows are here")
    return {"path": f"{TODO}/{given}/*.parquet"}


def _path(carried: Carried, uri: str, what: str, *, is_folder: bool) -> str:
    uri = uri.removeprefix("file://")
    if re.match("[a-z0-9]+://", uri):
        carried.say(FILL, what, f"reads {uri}; name the root and the path below it")
        uri = re.sub("^[a-z0-9]+://", f"{TODO}/", uri)
    elif uri.startswith("/"):
        carried.say(CHANGED, what, f"reads {uri}; here a path begins in a root of the project")
    path = uri.lstrip("/").removeprefix("./")
    return path if is_folder else _files(carried, path, what)


def _files(carried: Carried, path: str, what: str) -> str:
    """Name the files of a folder by a pattern."""
    if Path(path).suffix:
        return path
    carried.say(CHANGED, what, f"reads the folder {path}; here its files are named by `*`")
    return f"{path.rstrip('/')}/*.parquet".lstrip("/")


def tags_of(spec: Mapping[str, Any]) -> dict[str, str]:
    return {each.get("key", ""): each.get("value", "") for each in spec.get("tags", ())}


def _configuration(source: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        found = json.loads((source.get("custom") or {}).get("configuration") or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
