"""On-demand features of the rows of one online read: values, statuses, event times. [pure]

Not for stored rows (``online.rows``), which these are computed from.
"""

from __future__ import annotations

from datetime import date
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from lib.instants import to_us
from lib.json_floats import NOT_FINITE
from registry.spec.scalar.kinds import DIGITS
from serving.online.rows import NULL_VALUE, PRESENT, AnswerColumn, instants
from serving.online.stored_values import stored_to_json
from serving.values import json_ready, unscaled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from registry.spec.value_types import ValueType
    from serving.on_demand.feature import OnDemandFeature
    from serving.online.rows import TableRows

    Computable = Callable[[Sequence[Any]], Sequence[Any]]

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_FRACTIONS = ("float32", "float64")
_EXACT = Context(prec=DIGITS)


class ComputedColumn(NamedTuple):
    """One column of the answer that is computed.

    ``stored``: of each stored input its table and position there, and what makes its values what
    expressions compute with; ``request``: of each of the others its place among the request's
    values. ``to_stored`` makes a result what the store would have, ``to_json`` that of this.
    """

    feature: OnDemandFeature
    stored: tuple[tuple[int, int, Computable | None], ...]
    request: tuple[int, ...]
    to_stored: Callable[[Any], Any] | None
    to_json: Callable[[Any], Any] | None

    @property
    def version(self) -> str:
        return self.feature.version

    @property
    def timed_by(self) -> str:
        """What its event times are of: features of one version may be computed from others."""
        return f"{self.feature.version}:{self.feature.name}"

    @property
    def type(self) -> str:
        return self.feature.type


class Computed(NamedTuple):
    """A column, and for how many of its rows an operation had no result."""

    column: AnswerColumn
    lacking: int


def computed(
    column: ComputedColumn,
    tables: Sequence[TableRows],
    request: Sequence[Sequence[Any]],
    *,
    rows: int,
    now: int,
    stored: bool = False,
) -> Computed:
    """Compute one column; inputs that are not there, or too old, are null in it.

    ``stored``: as stored values are, not ready for JSON.
    """
    given: list[Sequence[Any]] = []
    for table, position, computable in column.stored:
        values = tables[table].valid(position)
        given.append(values if computable is None else computable(values))
    given += [request[place] for place in column.request]
    run, lacking, found = column.feature.scalar.run, 0, []
    for row in zip(*given, strict=True) if given else ((),) * rows:
        without: list[Any] = []
        found.append(run((*row, now, without)))
        lacking += bool(without)
    statuses = [NULL_VALUE if value is None else PRESENT for value in found]
    times = _times(column, tables, rows)
    if column.to_stored is not None:
        found = [None if value is None else column.to_stored(value) for value in found]
    if stored:
        return Computed(AnswerColumn(found, statuses, times), lacking)
    if column.to_json is not None:
        found = [None if value is None else column.to_json(value) for value in found]
    return Computed(AnswerColumn(found, statuses, instants(times)), lacking)


def result_to_json(value_type: ValueType) -> Callable[[Any], Any] | None:
    """Return what makes a computed value, not null, ready for JSON; None: it is."""
    return json_ready if value_type.kind in _FRACTIONS else stored_to_json(value_type)


def result_to_stored(value_type: ValueType) -> Callable[[Any], Any] | None:
    """Return what makes a computed value, not null, what the store would have; None: it is."""
    if value_type.kind != "decimal":
        return None
    exponent = -value_type.scale
    return lambda digits: str(_EXACT.scaleb(Decimal(digits), exponent))


def computable_of(value_type: ValueType) -> Computable | None:
    """Return what makes stored values what expressions compute with; None: they are."""
    if value_type.kind == "decimal":
        return lambda values: _unscaled(values, value_type)
    return _fractions if value_type.kind in _FRACTIONS else None


def request_values(values: Sequence[Any], value_type: ValueType) -> Sequence[Any]:
    """Return typed values of a request as expressions compute with them."""
    if value_type.kind == "timestamp":
        return [None if value is None else to_us(value) for value in values]
    if value_type.kind == "date":
        return [None if value is None else value.toordinal() - _EPOCH_DAY for value in values]
    if value_type.kind == "decimal":
        return _unscaled(values, value_type)
    return values


def _unscaled(values: Sequence[Any], value_type: ValueType) -> Sequence[Any]:
    return [None if value is None else unscaled(Decimal(value), value_type) for value in values]


def _fractions(values: Sequence[Any]) -> Sequence[Any]:
    """Return fractions as such: those that JSON has no form for are stored as text."""
    if str not in set(map(type, values)):
        return values
    return [NOT_FINITE[value] if type(value) is str else value for value in values]


def _times(column: ComputedColumn, tables: Sequence[TableRows], rows: int) -> Sequence[int | None]:
    """Return the latest event that each row is computed from, in microseconds."""
    events = [
        tables[table].valid(0) for table in dict.fromkeys(table for table, _, _ in column.stored)
    ]
    if len(events) < 2:
        return events[0] if events else [None] * rows
    known = ([e for e in each if e is not None] for each in zip(*events, strict=True))
    return [max(each, default=None) for each in known]
