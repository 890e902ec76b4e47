"""How an error of ours goes through the engine that called what raised it. [pure]

An engine keeps of such an error its kind and its words; the words are a report as JSON. No value of
a source can be taken for one: it comes first, and only after words of the engine's own.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from materialization.errors import from_report, to_report

if TYPE_CHECKING:
    from lib.errors import AssayError

_RAISED = re.compile(
    r"Invalid Input Error: Python exception occurred while executing the UDF: FunctionFailed: "
)


class FunctionFailed(Exception):  # noqa: N818 - it carries what failed
    """Its text is a report (``errors.to_report``) as JSON."""


def carried(error: AssayError) -> FunctionFailed:
    return FunctionFailed(json.dumps(to_report(error)))


def fault_in(message: str) -> AssayError | None:
    """Return the error of ours that an engine's error is about; None: it is its own."""
    found = _RAISED.match(message)
    if found is None:
        return None
    report, _ = json.JSONDecoder().raw_decode(message[found.end() :])
    return from_report(report)
