"""Rows that are not taken: which of what was sent, and why. [pure]"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from lib.errors import QualityRejected

if TYPE_CHECKING:
    from collections.abc import Callable

#: Refusals that an answer lists before it only counts them.
LISTED = 100


class Refusal(NamedTuple):
    """Row ``row`` of what was sent, counted from 0; ``valid`` says what would be taken."""

    row: int
    column: str
    value: str
    valid: str

    def to_json(self) -> dict[str, Any]:
        return self._asdict()


class Refusals:
    """What is wrong with the rows of one push: all rows that are, and the first reasons.

    A push may have a value that is wrong for each row and column, and nobody reads them all.
    """

    def __init__(self) -> None:
        self.rows: set[int] = set()
        self._first: dict[Refusal, None] = {}

    def __bool__(self) -> bool:
        return bool(self.rows)

    def add(self, row: int, column: str, value: Callable[[], str], valid: str) -> None:
        """Note a value; how it is shown is asked only where it will be."""
        self.rows.add(row)
        if len(self._first) < LISTED:
            self._first[Refusal(row, column, value(), valid)] = None

    @property
    def first(self) -> Refusal:
        return min(self._first)

    def to_json(self) -> list[dict[str, Any]]:
        return [each.to_json() for each in sorted(self._first)]


class RowsRefused(QualityRejected):
    code = "rows_refused"


def rows_refused(refusals: Refusals, rows: int) -> RowsRefused:
    """Return the error of a push of which nothing was taken, for some rows cannot be."""
    refused, first = len(refusals.rows), refusals.first
    return RowsRefused(
        f"{refused} of {rows} rows cannot be taken, so none was. Row {first.row}, column"
        f' {first.column!r}: {first.valid} See `refused` for each; with "partial": true the'
        " other rows are taken.",
        refused_count=refused,
        refused=refusals.to_json(),
    )
