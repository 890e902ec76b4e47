"""Which columns of the source each column that a checked SELECT gives is made of. [pure]

Not for what a SELECT may hold: ``row_sql`` checks that. Names mean what the engine takes them for:
a column of the source before a name that an earlier expression of the SELECT was given, whatever
the case of their letters.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from sqlglot import exp

from registry.spec.row_sql import select_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


class SourceField(NamedTuple):
    """One column of one data source of the project."""

    source: str
    column: str

    def __str__(self) -> str:
        return f"{self.source}.{self.column}"


#: A column of the view's own source by its name, or a field of what stands beside its rows.
Column: TypeAlias = str | SourceField
#: Stands for every column of a source that was not looked at yet.
EVERY = "*"


class SelectLineage(NamedTuple):
    """What a SELECT's columns are made of, by their names in small letters."""

    given: dict[str, frozenset[Column]]
    #: What decides which rows there are.
    chosen_by: frozenset[Column]
    #: Whether columns of the source come under their own names, by ``*``; and which of them do not.
    passes_others: bool
    excluded: frozenset[str]

    def of(self, column: str, known: Collection[str] = ()) -> frozenset[Column]:
        """Return what the given ``column`` is made of; ``known`` are the source's columns."""
        name = column.lower()
        found: frozenset[Column] = self.given.get(name, frozenset())
        if self.passes_others and name not in self.excluded:
            return found | (_named(column, known) or frozenset({column} if not known else ()))
        return found


def lineage_of_select(
    sql: str, known: Collection[str] = (), *, beside: Collection[str] = ()
) -> SelectLineage:
    """Trace a SELECT that was checked; ``known`` are the source's columns, empty: not looked at.

    Without them a name is taken for one the SELECT gave where it gave such a one before. ``beside``
    are names of what stands beside each row: what is read of one is told as a field of that.

    :raises BadSql: it is no SELECT after all.
    """
    return _traced(sql, tuple(known), tuple(beside))


@lru_cache(maxsize=2048)
def _traced(sql: str, known: tuple[str, ...], beside: tuple[str, ...]) -> SelectLineage:
    """Trace it once: every look at a lineage asks for each query that is kept."""
    select = select_of(sql)
    tables = {table.alias_or_name.lower() for table in select.find_all(exp.Table)}
    scope = _Scope(known, tables, beside)
    excluded: list[set[str]] = []
    for projection in select.expressions:
        if isinstance(star := _star(projection), exp.Star):
            excluded.append(_not_passed(star))
            for each in (*_parts(star, "replace"), *_parts(star, "rename")):
                scope.give(each.alias, scope.columns_in(each.this))
        else:
            scope.give(projection.alias_or_name, scope.columns_in(projection))
    where = select.args.get("where")
    chosen_by = scope.columns_in(where) if where is not None else frozenset[Column]()
    not_passed = frozenset(set.intersection(*excluded)) if excluded else frozenset[str]()
    return SelectLineage(scope.given, chosen_by, bool(excluded), not_passed)


class _Scope:
    """What names mean at one place of a SELECT: the source's columns, and what was given so far."""

    def __init__(
        self, known: Collection[str], tables: set[str], beside: Collection[str] = ()
    ) -> None:
        self.known, self.tables, self.beside = known, tables, beside
        self.given: dict[str, frozenset[Column]] = {}

    def give(self, name: str, made_of: frozenset[Column]) -> None:
        # Of two columns of one name either may be meant.
        self.given[name.lower()] = made_of | self.given.get(name.lower(), frozenset())

    def columns_in(self, node: exp.Expr) -> frozenset[Column]:
        if any(isinstance(each, exp.Star) for each in node.find_all(exp.Star)):
            return frozenset(self.known or {EVERY})
        found = (self._meant(column) for column in node.find_all(exp.Column))
        return frozenset[Column]().union(*found)

    def _meant(self, column: exp.Column) -> frozenset[Column]:
        parts = [part.name for part in column.parts]
        # A struct's field is written as a table's column is; then the first name is the column.
        of_table = len(parts) > 1 and parts[0].lower() in self.tables
        parts = parts[1:] if of_table else parts
        if len(parts) > 1 and parts[0] in self.beside:
            return frozenset({SourceField(parts[0], parts[1])})
        if of_table:
            return _named(parts[0], self.known) or frozenset({parts[0]})
        name = parts[0]
        if columns := _named(name, self.known):
            return columns
        if name.lower() in self.tables:  # the engine takes it for the whole row, as a struct
            return frozenset(self.known or {EVERY})
        return self.given.get(name.lower(), frozenset({name}))


def _named(name: str, known: Collection[str]) -> frozenset[Column]:
    """Return the columns that a name means: two may differ in nothing but their case."""
    return frozenset(each for each in known if each.lower() == name.lower())


def _star(projection: exp.Expr) -> exp.Expr:
    """Return the star of ``*`` and of ``t.*``; of anything else the expression itself."""
    return projection.this if isinstance(projection, exp.Column) else projection


def _not_passed(star: exp.Star) -> set[str]:
    """Return the columns that a star leaves out, or gives otherwise than they are."""
    others = (each.alias for each in _parts(star, "replace"))
    gone = (*_parts(star, "except_"), *(each.this for each in _parts(star, "rename")))
    return {name.lower() for name in (*others, *(each.name for each in gone))}


def _parts(star: exp.Star, key: str) -> Iterable[exp.Expr]:
    return star.args.get(key) or ()
