"""A version's transform with one column more, which goes through it as it is. [pure]

So rows that a transform gives are told to be of those it was given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace
from sqlglot import exp

from registry.spec.dialect import DIALECT
from registry.spec.row_sql import select_of

if TYPE_CHECKING:
    from registry.spec.version_spec import VersionSpec


def carrying(spec: VersionSpec, column: str) -> VersionSpec:
    """Return the version with a column of its source in what its own SELECT gives.

    A SELECT of all columns gives it already.

    :raises BadSql: its SQL is no SELECT after all.
    """
    if spec.view.sql is None:
        return spec
    select = select_of(spec.view.sql)
    if any(each.is_star for each in select.expressions):
        return spec
    select.append("expressions", exp.column(column, quoted=True))
    return replace(spec, view=replace(spec.view, sql=select.sql(dialect=DIALECT)))
