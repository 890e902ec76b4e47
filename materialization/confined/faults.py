"""What a confined process says when it cannot give rows. [pure]

Not for the errors that people read (``materialization.errors``): these become such.
"""

from __future__ import annotations


class Fault(Exception):  # noqa: N818 - what went wrong, told to another process
    """``code``: refused, changed, failed or stopped. ``example`` may quote a value."""

    def __init__(self, code: str, message: str, *, example: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.example = code, message, example
