"""What each feature of a version is made of: columns of its source, other features. [pure]

Not for finding what references name (whoever asks gives ``read``), nor for what reads a feature
(``registry.lineage``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from registry.spec.references import Reference, parse_reference
from registry.spec.row_sql import columns_of, columns_under
from registry.spec.sql_lineage import EVERY, lineage_of_select
from registry.spec.transforms import Aggregations, OnDemand, Python, RowSql

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from registry.spec.model import FeatureSpec, FeatureViewSpec, VersionSpec

    #: Finds the version that a reference reads; None: it cannot be had any more.
    Reading = Callable[[Reference], VersionSpec | None]


class SourceField(NamedTuple):
    """One column of one data source of the project."""

    source: str
    column: str

    def __str__(self) -> str:
        return f"{self.source}.{self.column}"


class Origin(NamedTuple):
    """What the values of one feature are made of."""

    #: Columns of the view's source whose values enter the feature's.
    columns: frozenset[str] = frozenset()
    #: Columns that decide which rows there are: values of a feature tell something of those too.
    chosen_by: frozenset[str] = frozenset()
    #: Of features that are computed at the request.
    features: tuple[Reference, ...] = ()
    request: tuple[str, ...] = ()


def origins_of(spec: VersionSpec) -> dict[str, Origin]:
    """Return what each feature of a version is made of, by its name.

    :raises BadSql: its SQL cannot be read, which none that was registered is.
    """
    transform = spec.transform
    if isinstance(transform, OnDemand):
        return {each.name: _computed(each, transform) for each in spec.features}
    known = spec.schema.types if spec.schema else {}
    if isinstance(transform, RowSql):
        select = lineage_of_select(transform.sql, known)
        return {
            each.name: Origin(
                frozenset[str]().union(*(select.of(one, known) for one in each.columns_read)),
                select.chosen_by,
            )
            for each in spec.features
        }
    chosen_by = _named(spec.view.where, known)
    if isinstance(transform, Python):
        # Nobody looks into a function: whatever it is given may be in each of its columns.
        read = spec.columns_read if spec.columns_read is not None else frozenset(known)
        return {each.name: Origin(read or frozenset({EVERY}), chosen_by) for each in spec.features}
    if isinstance(transform, Aggregations):
        return _aggregated(spec.view, chosen_by, known)
    return {each.name: Origin(frozenset(each.columns_read), chosen_by) for each in spec.features}


def _aggregated(
    view: FeatureViewSpec, chosen_by: frozenset[str], known: Collection[str]
) -> dict[str, Origin]:
    outputs, made = view.aggregate_outputs(), dict[str, frozenset[str]]()
    for each in view.features:
        if each.sql is None and (output := outputs.get(each.source_column)) is not None:
            made[each.name] = frozenset({output.column}) | _named(output.where, known)
    for name, sql in view.expressions.items():
        made[name] = frozenset[str]().union(*(made.get(each, ()) for each in columns_under(sql)))
    return {
        each.name: Origin(made[each.name], chosen_by) for each in view.features if each.name in made
    }


def _named(where: str | None, known: Collection[str]) -> frozenset[str]:
    """Return the columns a condition names, as the source writes them."""
    if where is None:
        return frozenset()
    written = {name.lower(): name for name in known}
    return frozenset(written.get(name.lower(), name) for name in columns_under(where))


def row_columns(spec: VersionSpec) -> frozenset[str]:
    """Return the columns of the source whose values the rows' keys and times have.

    Whoever reads a feature is told them beside it. A tick's time is no value of the source.

    :raises BadSql: as ``origins_of``.
    """
    if spec.source is None:
        return frozenset()
    times = (spec.source.event_timestamp, spec.source.created_timestamp)
    names = [key.name for key in spec.join_keys]
    if not spec.transform.makes_ticks:
        names += [time.column for time in times if time is not None]
    if not isinstance(spec.transform, RowSql):
        return frozenset(names)
    known = spec.schema.types if spec.schema else {}
    select = lineage_of_select(spec.transform.sql, known)
    return frozenset[str]().union(*(select.of(name, known) for name in names))


def source_fields(spec: VersionSpec, read: Reading) -> dict[str, frozenset[SourceField]]:
    """Return the source columns each feature is made of, through features it is computed from."""
    return {name: _fields(spec, origin, read) for name, origin in origins_of(spec).items()}


def _fields(spec: VersionSpec, origin: Origin, read: Reading) -> frozenset[SourceField]:
    if spec.source is not None:
        source = spec.view.source
        return frozenset(SourceField(source, column) for column in origin.columns)
    found: set[SourceField] = set()
    for reference in origin.features:
        below = read(reference)
        # What is computed at the request is computed from what is stored, and from nothing else.
        if below is not None and below.source is not None:
            found |= source_fields(below, read).get(reference.feature, frozenset())
    return frozenset(found)


def _computed(feature: FeatureSpec, transform: OnDemand) -> Origin:
    names = columns_of(str(feature.sql))
    references = map(parse_reference, transform.inputs.features)
    return Origin(
        features=tuple(each for each in references if each.feature in names),
        request=tuple(name for name in transform.inputs.request if name in names),
    )
