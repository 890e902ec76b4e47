"""How the command writes: tables for people, JSON for programs, errors for both.
Not for deciding what to say.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from assay.errors import AssayError, InvalidDefinition
from assay.progress import printable
from assay.shapes import Listed

PIPE_WIDTH = 200
STYLES = {
    "approved": "green",
    "succeeded": "green",
    "created": "green",
    "draft": "dim",
    "unchanged": "dim",
    "in_review": "yellow",
    "updated": "yellow",
    "queued": "yellow",
    "running": "cyan",
    "deprecated": "magenta",
    "major": "red",
    "guard": "red",
    "failed": "red",
    "errored": "red",
    "retired": "red",
    "cancelled": "dim",
}


class Output:
    """Answers go to stdout, everything else to stderr, so that a pipe gets answers only."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        # Piped text is for grep: wide enough that rows do not fold at 80 columns.
        width = None if sys.stdout.isatty() else PIPE_WIDTH
        self._out = Console(width=width, highlight=False, markup=False, emoji=False)
        self.err = Console(stderr=True, highlight=False, markup=False, emoji=False)

    def json(self, value: Any) -> None:
        sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")

    def text(self, text: str) -> None:
        """Write what is complete as it is, as a document for another program."""
        sys.stdout.write(text)

    def command(self, text: str) -> None:
        """Write a command to whoever runs this, on the stream that is not redirected."""
        sys.stderr.write(f"{text}\n")

    def line(self, text: str, style: str = "") -> None:
        self._out.print(Text(printable(text), style=style), soft_wrap=True)

    def note(self, text: str, style: str = "dim") -> None:
        self.err.print(Text(printable(text), style=style), soft_wrap=True)

    def progress(self, text: str) -> None:
        """Say to somebody who waits at a terminal what takes its time; nothing to a pipe."""
        if self.err.is_terminal and not self.as_json:
            self.note(text)

    def table(
        self, rows: Iterable[Mapping[str, Any]], columns: Sequence[str], title: str = ""
    ) -> None:
        """Print one line a row; a column is a key of the rows, and its heading."""
        table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
        for column in columns:
            # One gap: two are another column's.
            heading = " ".join(column.replace("_", " ").split())
            table.add_column(heading.upper(), overflow="fold")
        for row in rows:
            table.add_row(*(cell(row.get(column)) for column in columns))
        if title:
            self.line(f"\n{title}", "bold")
        self._out.print(table if table.row_count else Text("(none)", style="dim"))

    def rows(
        self,
        found: Sequence[Mapping[str, Any]],
        columns: Sequence[str],
        row: Callable[[Any], Mapping[str, Any]] = dict,
    ) -> None:
        """Write what was found: whole where JSON is asked for, else the columns of each ``row``."""
        if self.as_json:
            self.json(found)
        else:
            self.table(map(row, found), columns)
            self.rest(found)

    def rest(self, found: Sequence[Mapping[str, Any]]) -> None:
        """Say of a list that a limit cut how long it is."""
        if isinstance(found, Listed) and found.total is not None and found.total > len(found):
            self.note(f"{len(found):,} of {found.total:,}; --limit takes more.")

    def describe(self, value: Mapping[str, Any], title: str = "") -> None:
        """Print an object: plain facts first, then its lists of objects and its parts, each titled.

        A part is an object that holds further ones: its title says whose it is.
        """
        inner = {key: item for key, item in value.items() if _is_table(item) or _is_part(item)}
        facts = Table.grid(padding=(0, 2))
        for key, item in value.items():
            if key not in inner:
                facts.add_row(Text(key.replace("_", " "), style="bold"), cell(item))
        if title:
            self.line(f"\n{title}", "bold")
        self._out.print(facts)
        for key, item in inner.items():
            name = f"{title}, {key.replace('_', ' ')}" if title else key.replace("_", " ")
            if isinstance(item, Mapping):
                self.describe(item, name)
            elif any(map(_is_part, item)):
                for number, part in enumerate(item, 1):
                    self.describe(part, f"{name} {part.get('name') or number}")
            else:
                self.table(item, list(dict.fromkeys(key for row in item for key in row)), name)

    def changes(self, title: str, lines: str) -> None:
        """Print lines that went behind a minus, those that came behind a plus."""
        self.line(f"\n{title}", "bold")
        for line in lines.splitlines():
            self.line(line, {"-": "red", "+": "green"}.get(line[:1], ""))

    def error(self, error: AssayError) -> None:
        if self.as_json:
            sys.stderr.write(json.dumps(error.as_dict(), ensure_ascii=False, default=str) + "\n")
            return
        if isinstance(error, InvalidDefinition) and error.errors:
            for found in error.errors:
                # Plain, uncoloured and unwrapped: editors jump to file:line.
                sys.stderr.write(printable(definition_error(found)) + "\n")
        else:
            self.note(f"error: {error.message}", "red")
            if error.request_id and (error.status or 0) >= 500:
                self.note(f"The server's log has it under request_id {error.request_id}.")


def definition_error(found: Mapping[str, Any]) -> str:
    """Write ``file:line: key: message``, leaving out what is not known."""
    place = ":".join(str(found[key]) for key in ("file", "line") if found.get(key) is not None)
    parts = [place, str(found.get("key") or ""), str(found.get("message") or "")]
    example = f" For example: {found['example']}" if found.get("example") else ""
    return ": ".join(part for part in parts if part) + example


def cell(value: Any) -> Text:
    if isinstance(value, Text):
        return value
    text = _words(value)
    return Text(printable(text), style=STYLES.get(text, "") if text else "dim")


def _words(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, Mapping | list | tuple):
        return str(value)
    if _is_table(value) and all(set(item) == {"name", "type"} for item in value):
        return ", ".join(f"{item['name']} {item['type']}" for item in value)
    if not isinstance(value, Mapping) and value and all(map(_is_flat, value)):
        return "; ".join(map(_words, value))
    items = list(value.values()) if isinstance(value, Mapping) else list(value)
    if any(isinstance(item, Mapping | list | tuple) and item for item in items):
        # Commas would not tell where an inner list ends.
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_words(item)}" for key, item in value.items()) or "-"
    return ", ".join(_words(item) for item in value) or "-"


def _is_table(value: Any) -> bool:
    if not isinstance(value, list) or not value:
        return False
    return all(isinstance(item, Mapping) for item in value)


def _is_part(value: Any) -> bool:
    """Tell whether an object holds objects, or lists of lists, which no line could show."""
    return isinstance(value, Mapping) and any(_is_nested(item) for item in value.values())


def _is_nested(value: Any) -> bool:
    return bool(value) and isinstance(value, Mapping | list | tuple)


def _is_flat(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and not any(map(_is_nested, value))
