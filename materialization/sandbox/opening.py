# ruff: noqa: S608 - names go through identifier(), types are DuckDB's own
"""A version's source as a job opens it, part by part, and what goes wrong with it, in its files.

Not for opening it (``sources.kinds``) nor for finding a place in it (``places``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import duckdb

from lib.errors import AssayError
from lib.sql_text import identifier
from materialization.errors import (
    RowSqlFailed,
    RowSqlRefused,
    SourceDrifted,
    SourceFileGone,
    SourceUnreadable,
    SourceValueInvalid,
    UnknownColumn,
    placed,
)
from materialization.failures import found_value, translate
from materialization.sandbox.places import casts_of, files_of, place_of
from materialization.sources.csv_faults import csv_fault, true_line
from materialization.sources.file_faults import DAMAGED, parquet_fault, text_fault
from materialization.sources.inputs import StoredRows, beside_of
from materialization.sources.joining import keep_joined
from materialization.sources.kinds import open_source
from materialization.sources.read_views import forget_read
from materialization.sources.walking import is_gone
from materialization.sources.where import of_joined
from materialization.transforms.kinds import relation_of
from registry.spec.sources.base import SourceSchema

if TYPE_CHECKING:
    from materialization.sources.inputs import OneSource, SourceInput
    from materialization.sources.reading import OpenedSource
    from registry.spec.version_spec import VersionSpec

#: What is wrong with files, and does not always say with which.
_OF_FILES = (SourceDrifted, SourceValueInvalid, SourceUnreadable, UnknownColumn, RowSqlFailed)


class Joined(NamedTuple):
    """What versions take of the sources they join, and what the owners of these should know."""

    schemas: tuple[SourceSchema, ...]
    notes: tuple[str, ...]


class Opening:
    """Opens some parts of a source; an error is about those that were opened last.

    What was opened before others is read by then: its tables may be theirs now, or gone.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        spec: VersionSpec,
        source: SourceInput,
        *,
        sees_rows: bool = True,
    ) -> None:
        self._connection, self._spec, self._source = connection, spec, source
        self._sees_rows = sees_rows
        self._opened: OpenedSource | None = None
        #: What the sources that are joined are; None: they were not read yet.
        self._joined: Joined | None = None
        #: What is wrong with one of those, as it is told.
        self._beside_told: AssayError | None = None
        #: The parts whose rows find all that they can in what is kept of other views; None: none.
        self._found_in_kept: frozenset[str] | None = None

    def __call__(self, source: SourceInput) -> OpenedSource:
        self._source, self._opened = source, None
        if self._joined is None:
            self._joined = self._keep_joined(source)
        self._forget_read(source)
        opened = open_source(self._connection, self._spec, source)
        if self._found_in_kept is None:
            self._found_in_kept = frozenset(source.paths)
        notes = (*opened.notes, *self._joined.notes)
        self._opened = opened._replace(notes=notes, joined=self._joined.schemas)
        return self._opened

    def _forget_read(self, source: SourceInput) -> None:
        """Let go of what rows of other parts find of other views, unless these are some of them.

        Of all parts nothing is kept: they are the whole history of a source, and a run reads few.
        """
        kept = self._found_in_kept
        if kept is None or not kept.issuperset(source.paths):
            self._found_in_kept = None
            forget_read(self._connection, self._spec)

    def _keep_joined(self, source: SourceInput) -> Joined:
        """Read what is read of the sources that are joined, once for all parts of its own."""
        schemas, notes = list[SourceSchema](), list[str]()
        for place, rows in enumerate(beside_of(source)):
            side = self._spec.side(place)
            opening = Opening(self._connection, side, rows)
            try:
                with of_joined(self._spec, place):
                    opened = self._kept(opening, place, rows)
            except AssayError as exc:
                self._beside_told = exc
                raise
            schemas += [opened.schema] if opened.schema is not None else []
            if not side.rows_from.link:
                notes += (f"{side.view.name}: {said}" for said in opened.notes)
        return Joined(tuple(schemas), tuple(notes))

    def _kept(self, opening: Opening, place: int, rows: OneSource) -> OpenedSource:
        try:
            opened = opening(rows)
            keep_joined(
                self._connection, self._spec, place, opened.relation, opened.columns,
                found=opened.found, sees_rows=self._sees_rows,
            )  # fmt: skip
        except (AssayError, duckdb.Error, OSError) as exc:
            raise opening.told(exc) from exc
        return opened

    def told(self, error: Exception) -> AssayError:
        """Return the error that a person can act on, with the file and the row it is about."""
        source, opened = self._source, self._opened
        if error is self._beside_told and isinstance(error, AssayError):
            return error
        gone = next(filter(is_gone, source.paths), None)
        if gone is not None and not isinstance(error, AssayError):
            return SourceFileGone(gone)
        try:
            if source.format == "csv" and (fault := csv_fault(error, source.paths)) is not None:
                return fault
            said = true_line(error, source.paths)
        except DAMAGED as exc:  # no line can be counted in a file that cannot be read to its end
            return self._file_fault(exc) or translate(error)
        known = opened.found if opened is not None else None
        if isinstance(source, StoredRows):  # of a table of ours: no file of it means anything
            return translate(error, known=known)
        told = translate(error, known=known, said=said)
        if isinstance(told, SourceUnreadable) and (fault := self._file_fault(error)) is not None:
            return fault
        if not isinstance(told, _OF_FILES) or any(path in told.message for path in source.paths):
            return told
        if opened is None or isinstance(told, UnknownColumn) or told is error:
            return placed(told, files_of(source))  # before a row was read
        if self._fails_without_rows(error, opened):
            line = str(error).splitlines()[0][:300]
            return RowSqlRefused(f"sql cannot be run, whatever the rows hold: {line}")
        return self._placed(told, error, opened)

    def _file_fault(self, error: Exception) -> SourceUnreadable | None:
        """Return what is wrong with one of the files as a whole, as far as it can be told."""
        paths = self._source.paths
        if self._source.format == "parquet":
            return parquet_fault(error, paths, was_opened=self._opened is not None)
        named = [path for path in paths if path in str(error)] or paths
        return text_fault(named[0], error) if len(named) == 1 else None

    def _fails_without_rows(self, error: Exception, opened: OpenedSource) -> bool:
        """Say whether the view's SQL fails in the same words on a row of nulls.

        Then they quote nothing but the SQL.
        """
        has_sql = self._spec.view.sql is not None or self._spec.view.conditions()
        if not has_sql or not isinstance(error, duckdb.Error):
            return False
        nulls = [f"NULL::{kind} AS {identifier(name)}" for name, kind in opened.found.items()]
        relation = relation_of(self._spec, opened.enrich(f"(SELECT {', '.join(nulls)})"))
        try:
            self._connection.execute(f"SELECT * FROM {relation}").fetchall()
        except duckdb.Error as exc:
            return str(exc).splitlines()[:1] == str(error).splitlines()[:1]
        return False

    def _placed(self, told: AssayError, error: Exception, opened: OpenedSource) -> AssayError:
        value = found_value(str(error))

        def expressions(opened: OpenedSource) -> list[str]:
            casts = casts_of(self._spec, opened.columns)
            is_it = [each for each in casts if value is None or each.column == value["column"]]
            return ["r", *(each.strict for each in is_it)]

        place = place_of(
            self._connection, self._spec, opened, self._source, expressions=expressions, value=value
        )
        if place is None:
            return placed(told, files_of(self._source))
        return placed(translate(place.error) if place.error else told, str(place))
