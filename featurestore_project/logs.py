"""How lines of the log look: for people, or as JSON for programs; each with its request's id.

A line's own facts come as ``extra={"fields": {…}}``. Requests that cannot be meant for us are one
line each, not where we noticed; other errors keep their tracebacks, which a log is for.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

from lib.acts import current_act
from lib.errors import printable
from lib.tracing import caller

#: Django's loggers of malformed requests: another host's name, too many fields, broken cookies.
_OF_REQUESTS = "django.security."
#: Characters of a line: a header can have many more.
LINE_LENGTH = 300


class OneLine(logging.Filter):
    """Passes every record; those of malformed requests without traceback, shortened."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith(_OF_REQUESTS):
            record.msg, record.args = printable(record.getMessage())[:LINE_LENGTH], ()
            record.exc_info = record.exc_text = None
        return True


class JsonLine(logging.Formatter):
    """One JSON object a line: when, how grave, who says what, of which request, and its fields."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (act := current_act()) is not None:
            line |= {"request_id": str(act), **caller()}
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextLine(logging.Formatter):
    """The same for people: without the fields, which the message says in words."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        act = current_act()
        return text if act is None else f"{text} [{act}]"
