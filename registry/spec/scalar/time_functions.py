"""The functions of times that scalar expressions may call, in both forms. [pure]

Not for moving a time by what is written (``intervals``), nor for the ``calendar`` itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from registry.spec.scalar import arithmetic, calendar
from registry.spec.scalar.conversions import as_kind
from registry.spec.scalar.kinds import DAY, FLOAT, INSTANT, INT, NULL, Scalar, Untyped, null, strict

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Parts of a time that have a function each.
PARTS: dict[type[exp.Expr], str] = {
    exp.Year: "year",
    exp.Quarter: "quarter",
    exp.Month: "month",
    exp.Week: "week",
    exp.WeekOfYear: "week",
    exp.Day: "day",
    exp.DayOfMonth: "day",
    exp.DayOfWeek: "dow",
    exp.DayOfWeekIso: "isodow",
    exp.DayOfYear: "doy",
    exp.Hour: "hour",
    exp.Minute: "minute",
    exp.Second: "second",
}
_PART_NAMES = {"dayofweek": "dow", "dayofyear": "doy", "dayofmonth": "day", "weekofyear": "week"}


def epoch(arguments: list[Scalar]) -> Scalar:
    (part,) = arguments
    if part.kind not in (INSTANT, DAY, NULL):
        raise Untyped(f"epoch takes a time; this is a {part.kind}.")
    instant = as_kind(part, INSTANT)
    # The engine's own rounds twice, otherwise for times before 1970.
    sql = "(CAST(epoch_us({0}) AS DOUBLE) / CAST(1000000 AS DOUBLE))"
    return strict(FLOAT, sql, lambda micros: float(micros) / 1_000_000.0, instant)


def part(name: str, time: Scalar) -> Scalar:
    """Return a part of a day or an instant, in UTC, as a whole number.

    :raises Untyped: it has no such part.
    """
    name = _PART_NAMES.get(name, name)
    if name == "epoch":
        return epoch([time])
    if time.kind == NULL:
        return null(INT)
    if time.kind not in (INSTANT, DAY):
        raise Untyped(f"{name} is a part of times; this is a {time.kind}.")
    of_days = calendar.PARTS_OF_DAYS.get(name)
    sql = f"CAST(date_part('{name}', {{0}}) AS BIGINT)"
    if of_days is not None:
        if time.kind == DAY:
            return strict(INT, sql, of_days, time)
        return strict(INT, sql, lambda instant: of_days(calendar.day_of(instant)), time)
    if name in calendar.PARTS_OF_CLOCKS:
        if time.kind == DAY:
            raise Untyped(f"a date has no {name}.")
        return strict(INT, sql, calendar.PARTS_OF_CLOCKS[name], time)
    valid = ", ".join([*calendar.PARTS_OF_DAYS, *calendar.PARTS_OF_CLOCKS, "epoch"])
    raise Untyped(f"{name!r} is no part of a time that is computed here; those are {valid}.")


def truncated(unit: str, part: Scalar) -> Scalar:
    """Return the instant at which the unit began that a time is in.

    :raises Untyped: there is no such unit, or this is no time.
    """
    unit = _unit(unit, "date_trunc", calendar.BEGINNINGS)
    (instant,) = _instants("date_trunc", part)
    return strict(INSTANT, f"date_trunc('{unit}', {{0}})", calendar.BEGINNINGS[unit], instant)


def difference(unit: str, start: Scalar, end: Scalar) -> Scalar:
    """Return how many of a unit begin between two times: midnights for days.

    :raises Untyped: there is no such unit, or these are no times.
    """
    unit = _unit(unit, "date_diff", calendar.UNITS)
    number_of = calendar.UNITS[unit]
    return strict(
        INT,
        f"date_diff('{unit}', {{0}}, {{1}})",
        lambda a, b: number_of(b) - number_of(a),
        *_instants("date_diff", start, end),
    )


def passed(unit: str, start: Scalar, end: Scalar) -> Scalar:
    """Return how many of a unit have passed between two times, whole ones: years are an age.

    :raises Untyped: there is no such unit, or these are no times.
    """
    unit = _unit(unit, "date_sub", {**calendar.WHOLE_MONTHS, **calendar.LENGTHS})
    months, length = calendar.WHOLE_MONTHS.get(unit), calendar.LENGTHS.get(unit, 1)

    def run(a: int, b: int) -> int:
        if months is None:
            return arithmetic.whole_division(b - a, length)
        return arithmetic.whole_division(calendar.whole_months(a, b), months)

    # Of times without a zone: those with one are counted by another calendar.
    sides = "make_timestamp(epoch_us({0})), make_timestamp(epoch_us({1}))"
    sql = f"CAST(date_sub('{unit}', {sides}) AS BIGINT)"
    return strict(INT, sql, run, *_instants("date_sub", start, end))


def _unit(unit: str, name: str, units: Mapping[str, object]) -> str:
    unit = unit.removesuffix("s")
    if unit not in units:
        raise Untyped(f"{unit!r} is no unit of {name}; those are {', '.join(units)}.")
    return unit


def _instants(name: str, *parts: Scalar) -> list[Scalar]:
    for part in parts:
        if part.kind not in (INSTANT, DAY, NULL):
            raise Untyped(f"{name} takes times; this is a {part.kind}.")
    return [as_kind(part, INSTANT) for part in parts]
