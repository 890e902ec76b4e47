"""How much jobs may take of this server, and of whom. [pure]

Not for where the numbers come from: ``edges`` reads the settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from datetime import timedelta


class JobBounds(NamedTuple):
    """What one job, one person and all jobs together may have.

    ``piece_rows`` and ``piece_values`` are what one question to the engine may be: a job is as many
    of those as it takes, one after the other.
    """

    most_of_one: int
    job_mb: int
    all_mb: int
    kept_for: timedelta
    seconds: float
    piece_rows: int
    piece_values: int

    def rows_at_a_time(self, columns: int) -> int:
        return max(1, min(self.piece_rows, self.piece_values // max(columns, 1)))
