"""Proposals as definitions in YAML, with the reasons as comments.
Not for choosing them; see proposals.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from assay.authoring.columns import Column
from assay.authoring.proposals import FeatureProposal, Proposal, entity_name, names_things

_PLAIN = re.compile(r"[0-9]+[wdhms]|[A-Za-z_][A-Za-z0-9_./*<>-]*( [A-Za-z0-9_./*<>-]+)*")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
_TODO = "TODO"


def scalar(value: Any) -> str:
    """Write one value so that every reader of YAML takes it for what it is."""
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS
        return value if plain else json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(k)}: {scalar(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(scalar, value)) + "]"
    return json.dumps(value)


def document(body: Mapping[str, Any], notes: Mapping[str, str] | None = None) -> str:
    """Write one definition, a key a line; ``notes`` stand behind the key they are about."""
    notes = notes or {}
    lines = []
    for key, value in body.items():
        if key in ("features", "aggregations") and value and isinstance(value[0], Mapping):
            lines += [f"{key}:", *(f"  - {scalar(each)}" for each in value)]
        else:
            lines.append(f"{key}: {scalar(value)}" + (f"  # {notes[key]}" if key in notes else ""))
    return "\n".join(lines) + "\n"


def comment(lines: Iterable[str]) -> str:
    return "".join(f"# {line}\n" for line in lines)


def entity_of(proposal: Proposal) -> tuple[str, str]:
    """Give the name of an entity, and its join keys as a definition writes them."""
    key = proposal.key.column
    if key is None:
        return _TODO.lower(), f"[{{name: {_TODO}, type: int64}}]"
    return entity_name(key), scalar([{"name": key.name, "type": key.type}])


def entity(name: str, proposal: Proposal) -> str:
    _, keys = entity_of(proposal)
    head = document({"kind": "Entity", "name": name})
    return f"{head}join_keys: {keys}  # {proposal.key.why}\n"


def source(name: str, where: Mapping[str, Any], proposal: Proposal, below: str) -> str:
    body = {"kind": "DataSource", "name": name, **where}
    event, created = proposal.event, proposal.created
    body["event_timestamp"] = _time(event.column) if event.column else _TODO
    notes = {"event_timestamp": event.why, "path": below}
    if created.column:
        body["created_timestamp"] = _time(created.column)
        notes["created_timestamp"] = created.why
    text = document(body, notes)
    return text if created.column else text + comment([f"created_timestamp: … {created.why}"])


def view(name: str, source_name: str, entity: str, proposal: Proposal) -> str:
    body = {
        "kind": "FeatureView",
        "name": name,
        "entities": [entity],
        "source": source_name,
    }
    lines = [document(body)]
    if all(each.doubt for each in proposal.features):
        lines.append(f"features: []  # {_TODO}: no column is left that looks like a feature\n")
    else:
        lines.append("features:\n")
    lines += [_feature(each) for each in proposal.features]
    lines.append(
        document({"schedule": {"every": "1h"}}, {"schedule": "when new rows are looked for"})
    )
    lines.append(comment(["ttl: 30d  … how old a value may be; without it it never expires"]))
    return "".join(lines) + _windows(proposal)


def _feature(proposal: FeatureProposal) -> str:
    body: dict[str, Any] = {"name": proposal.name, "type": proposal.column.type}
    if proposal.column.name != proposal.name:
        body["column"] = proposal.column.name
    body |= {"sensitivity": proposal.sensitivity} if proposal.sensitivity else {}
    body |= {"checks": proposal.checks} if proposal.checks and not proposal.doubt else {}
    line = f"- {scalar(body)}  # {proposal.words}"
    return f"  # {line}; {proposal.doubt}\n" if proposal.doubt else f"  {line}\n"


def _windows(proposal: Proposal) -> str:
    """Show how sums over time would be said, where an entity has many rows of numbers."""
    numbers = [
        each.name
        for each in proposal.features
        if each.column.is_numeric
        and not names_things(each.column)
        and each.name == each.column.name
    ]
    if not proposal.repeats or not numbers:
        return ""
    column = numbers[0]
    of = {"column": column, "functions": ["sum", "count"], "windows": ["7d", "30d"]}
    return comment(
        [
            "For what an entity's rows come to over time, in place of the features above:",
            "aggregations:",
            f"  - {scalar(of)}",
            "features:",
            f"  - {scalar({'name': f'{column}_sum_30d', 'type': 'float64'})}",
        ]
    )


def _time(column: Column) -> Any:
    return (
        column.name if column.unit == "timestamp" else {"column": column.name, "unit": column.unit}
    )
