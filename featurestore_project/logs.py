"""What the log has of requests that cannot be meant for us: one line each, not where we noticed.

Not for other errors: their tracebacks are what a log is for.
"""

from __future__ import annotations

import logging

from lib.errors import printable

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
