"""How far the times that a checked SELECT gives are from those of its source. [pure]

Not for what a column is made of (``sql_lineage``).
"""

from __future__ import annotations

from sqlglot import exp

from registry.spec.row_sql import select_of, tables_of

#: Types that a time may be cast to, and how far its instant is from what it was at most: zones are
#: less than a day from UTC, and a day begins less than one before what is in it.
_DAYS_MOVED = {
    exp.DType.DATE: 2,
    exp.DType.TIMESTAMP: 1,
    exp.DType.TIMESTAMPNTZ: 1,
    exp.DType.TIMESTAMPTZ: 1,
    exp.DType.TIMESTAMP_S: 1,
    exp.DType.TIMESTAMP_MS: 1,
    exp.DType.TIMESTAMP_NS: 1,
}
#: What ``date_trunc`` cuts a time to, and how far back that is at most.
_DAYS_CUT = {
    **dict.fromkeys(("SECOND", "MINUTE", "HOUR", "DAY"), 1),
    **{"WEEK": 7, "MONTH": 31, "QUARTER": 92, "YEAR": 366},
}


def days_moved(sql: str, name: str) -> int | None:
    """Return by how many days at most a checked SELECT moves a time that it gives; None: by any.

    0: it gives the source's column of that name unchanged. Engines fold the case of names. Words
    for the same instant in another zone, or as another type, move it by a bounded time.

    :raises BadSql: it is no SELECT after all.
    """
    select, days = select_of(sql), 0
    made = _giving(select, name.lower())
    while not isinstance(made, exp.Column):
        if (found := _moved(made)) is None:
            return None
        more, made = found
        days += more
    path = [part.name.lower() for part in made.parts]
    is_of_table = len(path) > 1 and path[0] in tables_of(select)
    return days if path[1 if is_of_table else 0 :] == [name.lower()] else None


def _moved(made: exp.Expr | None) -> tuple[int, exp.Expr] | None:
    """Return by how many days at most an expression moves a time, and the one that gives that."""
    if type(made) is exp.Cast and made.to.this in _DAYS_MOVED:
        return _DAYS_MOVED[made.to.this], made.this
    if isinstance(made, exp.AtTimeZone) and isinstance(made.args["zone"], exp.Literal):
        return 1, made.this
    if isinstance(made, exp.TimestampTrunc) and (
        days := _DAYS_CUT.get(made.args["unit"].name.upper())
    ):
        return days, made.this
    if isinstance(made, exp.Anonymous) and made.name.lower() == "timezone":
        zone, *of = made.expressions
        return (1, of[0]) if isinstance(zone, exp.Literal) and len(of) == 1 else None
    return (0, made.this) if isinstance(made, exp.Paren) else None


def _giving(select: exp.Select, name: str) -> exp.Expr | None:
    """Return the expression by which a SELECT gives a column of a name, in small letters."""
    passed: exp.Expr | None = None
    for each in select.expressions:
        star = each.this if isinstance(each, exp.Column) else each
        if isinstance(star, exp.Star):
            renamed = star.args.get("rename") or ()
            for part in (*(star.args.get("replace") or ()), *renamed):
                if part.alias.lower() == name:
                    return part.this  # type: ignore[no-any-return]
            left_out = (*(star.args.get("except_") or ()), *(part.this for part in renamed))
            if name not in {part.name.lower() for part in left_out}:
                passed = exp.column(name)
        elif each.alias_or_name.lower() == name:
            return each.unalias()  # type: ignore[no-any-return]
    return passed
