"""How much one read may ask for, besides its rows: columns, features, values. [pure]

Not for where the numbers come from (settings, read at the edges), nor for bytes of bodies.
"""

from __future__ import annotations

from typing import NamedTuple

from lib.errors import TooLarge


class TooManyRows(TooLarge):
    code = "too_many_rows"


class TooManyColumns(TooLarge):
    code = "too_many_columns"


class TooManyFeatures(TooLarge):
    code = "too_many_features"


class TooManyValues(TooLarge):
    code = "too_many_values"


class ReadLimits(NamedTuple):
    """What one request may have; settings of the same names begin with ``prefix``.

    ``features`` counts them with ``view:*`` and services written out, ``values`` rows × columns of
    the answer. ``otherwise`` says how more is asked for, where that can be.
    """

    prefix: str
    rows: int
    columns: int
    features: int
    values: int
    #: Bytes an upload may decode to.
    decoded_bytes: int = 0
    rows_setting: str = ""
    values_setting: str = ""
    otherwise: str = ""

    def too_many_rows(self, fact: str) -> TooManyRows:
        """Return what to raise for a frame with more than ``rows``, of which ``fact`` says so."""
        setting = self.rows_setting or f"{self.prefix}_MAX_ROWS"
        return TooManyRows(
            f"{fact}; one question takes at most {self.rows} ({setting})."
            f" {self.otherwise or 'Ask about fewer, or set a higher limit on the server.'}",
            limit=self.rows,
            setting=setting,
        )

    def check_columns(self, count: int) -> None:
        """:raises TooManyColumns: naming the limit and its setting."""
        if count > self.columns:
            setting = f"{self.prefix}_MAX_COLUMNS"
            raise TooManyColumns(
                f"{count} entity columns; one call takes at most {self.columns} ({setting}).",
                limit=self.columns,
                setting=setting,
            )

    def check_features(self, count: int) -> None:
        """:raises TooManyFeatures: naming the limit and its setting."""
        if count > self.features:
            setting = f"{self.prefix}_MAX_FEATURES"
            raise TooManyFeatures(
                f"{count} features or more; one call takes at most {self.features} ({setting})."
                " Ask for fewer, in several calls.",
                limit=self.features,
                setting=setting,
            )

    def check_values(self, rows: int, columns: int) -> None:
        """:raises TooManyValues: naming the limit and its setting."""
        if rows * columns > self.values:
            setting = self.values_setting or f"{self.prefix}_MAX_VALUES"
            raise TooManyValues(
                f"{rows} rows × {columns} columns are {rows * columns} values; one call takes at"
                f" most {self.values} ({setting})."
                f" {self.otherwise or 'Ask for fewer rows or features.'}",
                limit=self.values,
                setting=setting,
            )
