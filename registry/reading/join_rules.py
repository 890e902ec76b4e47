"""What a view's joined sources must satisfy on their own: names, keys, and use in its SQL. [pure]

Not for whether there are such sources and columns: registering and the look at them say so.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from registry.reading.findings import error_of, repeated, too_many
from registry.spec.durations import parse_duration
from registry.spec.joined_sql import joined_columns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.reading.findings import Found
    from registry.spec.model import FeatureViewSpec

#: Each is found anew for every row of the source.
MAX_SOURCES = 16
MAX_COLUMNS = 16


def join_problems(spec: FeatureViewSpec) -> Iterator[Found]:
    if excess := too_many(("sources",), "sources", spec.sources, MAX_SOURCES):
        yield excess
        return
    names = [join.name for join in spec.sources]
    yield from repeated(("sources",), [name.lower() for name in names])
    for index, join in enumerate(spec.sources):
        path = ("sources", index)
        if join.name.lower() == spec.source.lower():
            yield (*path, "name"), f"{join.name!r} is the view's own source already."
        if join.name.lower() in _views(spec):
            message = f"{join.name!r} is what `views` reads as well; give that a `name` of its own."
            yield (*path, "name"), message
        if not join.on:
            yield (*path, "on"), "name the columns that are equal, as in [product_id]."
        elif excess := too_many((*path, "on"), "columns", join.on, MAX_COLUMNS):
            yield excess
        if join.ttl is not None and (error := error_of(parse_duration, join.ttl)):
            yield (*path, "ttl"), error
    if spec.sources and spec.sql is None:
        message = (
            "the columns of further sources are reached in `sql`, as in products.category, and the"
            " view has none."
        )
        if spec.aggregations or spec.python is not None:
            message += (
                " Windows and Python functions read one source: have a view join them, and write"
                " what it gives to a source of its own."
            )
        yield ("sources",), message
    elif spec.sql is not None:
        yield from _unused(spec, names)


def _views(spec: FeatureViewSpec) -> set[str]:
    """Return what the SQL calls the other views that it reads."""
    named = (read.name or re.split("[@:]", next(iter(read.features), ""))[0] for read in spec.views)
    return {name.lower() for name in named}


def _unused(spec: FeatureViewSpec, names: list[str]) -> Iterator[Found]:
    """Find what the SQL gets wrong about joined sources, or leaves alone."""
    sql = spec.sql or ""
    if error := error_of(lambda sql: joined_columns(sql, names), sql):
        yield ("sql",), error
        return
    for index, columns in enumerate(joined_columns(sql, names).values()):
        if not columns:
            name = names[index]
            message = f"the SQL names no column of {name!r}; write one, or leave it out."
            yield ("sources", index, "name"), message
