"""How answers look in a notebook: HTML in which every name and value is text.
Not for a terminal; see ``cli.output``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from assay.shapes import Columns

#: A notebook is kept and sent around: what is shown of values is what somebody needs to see.
MOST_ROWS = 10
MOST_CHARACTERS = 200


class Absent(str):
    """Why there is no value; it must not look like one."""


class Plan(dict[str, Any]):
    """What ``plan`` and ``apply`` answer: a dict that a notebook shows as a table of changes."""

    def _repr_html_(self) -> str:
        changes = list(self.get("changes") or [])
        columns = ("kind", "name", "change", "class", "version", "state", "reasons")
        verb = "would change" if self.get("dry_run") else "changed"
        count = sum(change.get("change") != "unchanged" for change in changes)
        said = f"{count} of {len(changes)} objects {verb} in project {self.get('project')}."
        return table(columns, ([each.get(c) for c in columns] for each in changes)) + line(said)


class Review(dict[str, Any]):
    """What ``review`` answers: a dict that a notebook shows as facts, changes and approvals."""

    def _repr_html_(self) -> str:
        shown = facts(
            {
                "version": self.get("version"),
                "state": self.get("state"),
                "approvals": f"{self.get('given')} of {self.get('required')}",
                "packet_hash": self.get("packet_hash"),
            }
        )
        for change in self.get("changes") or []:
            shown += line(change.get("path")) + f"<pre>{escape(str(change.get('lines')))}</pre>"
        columns = ("reviewer", "verdict", "current", "comment", "created_at")
        given = [[each.get(c) for c in columns] for each in self.get("approvals") or []]
        return shown + (table(columns, given) if given else "")


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, of: int | None = None) -> str:
    """Write rows below their columns; ``of`` is how many rows there are in all."""
    shown = list(rows)
    head = "".join(f"<th>{cell(column)}</th>" for column in columns)
    body = "".join(
        f"<tr>{''.join(f'<td>{cell(value)}</td>' for value in row)}</tr>" for row in shown
    )
    left = 0 if of is None else of - len(shown)
    more = line(f"{left} more rows") if left > 0 else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def table_of_columns(columns: Columns, *, of: int) -> str:
    """Write the first rows of columns, which are of equal length."""
    first = {name: values[:MOST_ROWS] for name, values in columns.items()}
    return table(list(first), zip(*first.values(), strict=True), of=of)


def facts(said: Mapping[str, Any]) -> str:
    rows = "".join(f"<tr><th>{cell(k)}</th><td>{cell(v)}</td></tr>" for k, v in said.items())
    return f"<table><tbody>{rows}</tbody></table>"


def line(text: Any) -> str:
    return f"<p>{escape(str(text))}</p>"


def cell(value: Any) -> str:
    if value is None or isinstance(value, Absent):
        return f"<i>{escape(value or 'null')}</i>"
    if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        value = "; ".join(value)
    text = str(value)
    return escape(text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…")
