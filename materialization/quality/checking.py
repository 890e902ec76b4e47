# ruff: noqa: S608 - as in row_checks
"""Counting the rows that fail each check, exactly, by one pass over a run's staged files.

Not for what a count says of a run: ``expectations`` judges that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import msgspec

from materialization.compute.stored_rows_sql import stored_rows
from materialization.errors import CheckUnusable
from materialization.expression_faults import expression_fault
from materialization.quality.holders import find_clashes
from materialization.quality.profiles import shown_number
from materialization.quality.row_checks import row_checks
from materialization.quality.shown_values import shown_value
from materialization.stores.columns import EVENT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from materialization.quality.profiling import Asked
    from materialization.quality.row_checks import RowCheck
    from registry.spec.value_types import ValueType
    from registry.spec.version_spec import VersionSpec


#: Why a warning was not judged; a check that blocks ends the run by the limit.
_TOO_MANY = "so many entities have had its values that it needs more memory than a run may use"


class Counted(msgspec.Struct, frozen=True):
    """How many rows fail a check, and one of their values as text; empty: none is shown.

    ``why_not`` says why they could not be counted; empty: they were.
    """

    failed: int
    example: str = ""
    why_not: str = ""


class Checked(msgspec.Struct, frozen=True):
    """What the rows of a run are judged by: a count of each of ``row_checks``, in its order.

    ``newest`` is the latest event, in µs; None: there is no row, or nobody asks.
    """

    counts: tuple[Counted, ...] = ()
    newest: int | None = None


def check_files(
    connection: Asked, files: Sequence[str], spec: VersionSpec, *, stored: Sequence[str] = ()
) -> Checked:
    """Return what ``expectations`` needs of the rows in the Parquet ``files``.

    ``stored`` are those of the table, for checks that look at what it has.

    :raises CheckUnusable: a condition fails on a row where it should be true or false.
    """
    checks = row_checks(spec)
    if not files:
        return Checked(tuple(Counted(0) for _ in checks))
    rows = stored_rows(files)
    alone = [check for check in checks if not check.held]
    asked = [sql for check in alone for sql in _asked(check)]
    is_dated = any(each.newest for each in (spec.view.checks, spec.view.checks.warnings))
    if is_dated:
        asked.append(f"epoch_us(max({EVENT}))")
    said = iter(_one(connection, asked, rows, alone) if asked else ())
    kinds = {feature.name: feature.value_type for feature in spec.features}

    def counted(check: RowCheck) -> Counted:
        if not check.held:
            pair = (next(said), next(said))
        else:
            try:
                find_clashes(connection, spec, check.held, files, stored=stored)
                pair = _clashing(connection, check)
            except duckdb.OutOfMemoryException:
                if check.blocks:
                    raise
                return Counted(0, why_not=_TOO_MANY)
        return Counted(pair[0], _shown(pair[1], kinds.get(check.feature)))

    counts = tuple(map(counted, checks))
    return Checked(counts, next(said) if is_dated else None)


def _asked(check: RowCheck) -> tuple[str, str]:
    """Return what counts a check's rows, and what gives one of their values."""
    example = f"{check.example} FILTER (WHERE {check.failing})" if check.example else "max(NULL)"
    return f"count(*) FILTER (WHERE {check.failing})", example


def _clashing(connection: Asked, check: RowCheck) -> tuple[int, Any]:
    example = "min(v)" if check.example else "NULL"
    ((failed, value),) = connection.execute(f"SELECT count(*), {example} FROM clashes").fetchall()
    return failed, value


def _one(
    connection: Asked, asked: Sequence[str], rows: str, checks: Sequence[RowCheck]
) -> tuple[Any, ...]:
    try:
        (row,) = connection.execute(f"SELECT {', '.join(asked)} FROM {rows}").fetchall()
    except duckdb.Error as exc:
        raise _culprit(connection, rows, checks, exc) from exc
    return tuple(row)


def _culprit(
    connection: Asked, rows: str, checks: Sequence[RowCheck], error: duckdb.Error
) -> Exception:
    """Return the error that names the check which cannot be evaluated; what it is else about."""
    said = str(error).partition("\n")[0]
    for check in checks:
        try:
            connection.execute(f"SELECT {_asked(check)[0]} FROM {rows}").fetchall()
        except duckdb.Error as exc:
            if str(exc).partition("\n")[0] == said:
                fault = expression_fault(said)
                why = f": {fault}" if fault else ""
                return CheckUnusable(
                    f"check {check.name} cannot be evaluated on a row{why}. Write it so that it is"
                    " true, false or null of every row.",
                    example=said,
                )
    return error


def _shown(value: Any, kind: ValueType | None) -> str:
    if value is None or kind is None:
        return ""
    return shown_number(value, kind) if kind.is_numeric else shown_value(value)
