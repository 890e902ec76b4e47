"""What each feature of a version is made of: columns of its source, other features. [pure]

Not for finding what references name (whoever asks gives ``read``), nor for what reads a feature
(``registry.lineage``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from registry.spec.references import Reference, parse_reference
from registry.spec.row_sql import columns_of, columns_under
from registry.spec.sql_lineage import EVERY, Column, SourceField, lineage_of_select
from registry.spec.transforms import Aggregations, OnDemand, Python, RowSql

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from registry.spec.aggregations import AggregateOutput
    from registry.spec.model import FeatureSpec, FeatureViewSpec
    from registry.spec.sql_lineage import SelectLineage
    from registry.spec.version_spec import VersionSpec

    #: Finds the version that a reference reads; None: it cannot be had any more.
    Reading = Callable[[Reference], VersionSpec | None]


class Origin(NamedTuple):
    """What the values of one feature are made of."""

    #: Columns of the view's source whose values enter the feature's.
    columns: frozenset[str] = frozenset()
    #: Columns that decide which rows there are: values of a feature tell something of those too.
    chosen_by: frozenset[str] = frozenset()
    #: Features of other views that it is computed from: stored ones, at the request or before.
    features: tuple[Reference, ...] = ()
    request: tuple[str, ...] = ()
    #: As ``columns`` and ``chosen_by``, of sources that are joined.
    joined: frozenset[SourceField] = frozenset()
    joined_by: frozenset[SourceField] = frozenset()

    @property
    def columns_said(self) -> list[str]:
        """The columns whose values enter the feature's, those that are joined with their source."""
        return [*sorted(self.columns), *sorted(map(str, self.joined))]

    def fields(self, source: str) -> frozenset[SourceField]:
        """Return all columns whose values enter the feature's, with their source."""
        return self.joined | {SourceField(source, column) for column in self.columns}

    def filters(self, source: str) -> frozenset[SourceField]:
        """Return all columns that decide which rows there are, with their source."""
        return self.joined_by | {SourceField(source, column) for column in self.chosen_by}


def origins_of(spec: VersionSpec) -> dict[str, Origin]:
    """Return what each feature of a version is made of, by its name.

    :raises BadSql: its SQL cannot be read, which none that was registered is.
    """
    transform = spec.transform
    if isinstance(transform, OnDemand):
        return {each.name: _computed(each, transform) for each in spec.features}
    known = spec.schema.types if spec.schema else {}
    if isinstance(transform, RowSql):
        return _selected(spec, transform, known)
    chosen_by = _named(spec.view.where, known)
    if isinstance(transform, Python):
        # Nobody looks into a function: whatever it is given may be in each of its columns.
        read = spec.columns_read if spec.columns_read is not None else frozenset(known)
        return {each.name: Origin(read or frozenset({EVERY}), chosen_by) for each in spec.features}
    if isinstance(transform, Aggregations):
        return _aggregated(spec.view, chosen_by, known)
    return {each.name: Origin(frozenset(each.columns_read), chosen_by) for each in spec.features}


def _selected(spec: VersionSpec, transform: RowSql, known: Collection[str]) -> dict[str, Origin]:
    """Return what is made of columns of the source, and of what stands beside its rows.

    Whoever reads a feature is told something of what decides which rows there are, and of what the
    rows' keys and times are made of. So of what of that stands beside them; and of the columns, on
    both sides, by which it is found.
    """
    select, in_rows = _select_of(spec, transform), _row_columns(spec)
    joins = {join.name: join for join in spec.view.sources}
    found = {}
    for each in spec.features:
        made = frozenset[Column]().union(*(select.of(one, known) for one in each.columns_read))
        told = _beside(made | select.chosen_by | in_rows)
        used = {field.source for field in told}
        ours = {name for source in used & joins.keys() for name in joins[source].ours}
        ours |= {column for read in spec.reads if read.name in used for column in read.columns}
        theirs = {
            SourceField(source, name) for source in used & joins.keys()
            for name in joins[source].theirs
        }  # fmt: skip
        found[each.name] = Origin(
            _own(made),
            _own(select.chosen_by) | ours,
            tuple(
                read.reference(feature)
                for read in spec.reads
                for feature in read.features
                if SourceField(read.name, feature) in told
            ),
            joined=_of_sources(made, joins),
            joined_by=_of_sources(select.chosen_by, joins) | theirs,
        )
    return found


def _select_of(spec: VersionSpec, transform: RowSql) -> SelectLineage:
    known = spec.schema.types if spec.schema else {}
    names = [*(join.name for join in spec.view.sources), *(read.name for read in spec.reads)]
    return lineage_of_select(transform.sql, known, beside=names)


def _own(columns: Collection[Column]) -> frozenset[str]:
    return frozenset(each for each in columns if isinstance(each, str))


def _beside(columns: Collection[Column]) -> frozenset[SourceField]:
    return frozenset(each for each in columns if not isinstance(each, str))


def _of_sources(columns: Collection[Column], names: Collection[str]) -> frozenset[SourceField]:
    """Return the columns that are of sources of these names."""
    return frozenset(field for field in _beside(columns) if field.source in names)


def _aggregated(
    view: FeatureViewSpec, chosen_by: frozenset[str], known: Collection[str]
) -> dict[str, Origin]:
    outputs, made = view.aggregate_outputs(), dict[str, frozenset[str]]()
    for each in view.features:
        if each.sql is None and (output := outputs.get(each.source_column)) is not None:
            made[each.name] = _of_output(output, known)
    for name, sql in view.expressions.items():
        made[name] = frozenset[str]().union(*(made.get(each, ()) for each in columns_under(sql)))
    for each in view.features:
        if each.name in made and each.label is not None and each.label in outputs:
            made[each.name] |= _of_output(outputs[each.label], known)
    return {
        each.name: Origin(made[each.name], chosen_by) for each in view.features if each.name in made
    }


def _of_output(output: AggregateOutput, known: Collection[str]) -> frozenset[str]:
    return frozenset({output.column}) | _named(output.where, known)


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
    return _own(_row_columns(spec))


def row_fields(spec: VersionSpec) -> frozenset[SourceField]:
    """Return the same columns of sources that are joined.

    :raises BadSql: as ``origins_of``.
    """
    return _of_sources(_row_columns(spec), [join.name for join in spec.view.sources])


def _row_columns(spec: VersionSpec) -> frozenset[Column]:
    """Return the same, and what of it stands beside the rows."""
    if spec.source is None:
        return frozenset()
    times = (spec.source.event_timestamp, spec.source.created_timestamp)
    names = [key.name for key in spec.join_keys]
    if not spec.view.aggregations:
        names += [time.column for time in times if time is not None]
    if not isinstance(spec.transform, RowSql):
        return frozenset(names)
    known = spec.schema.types if spec.schema else {}
    select = _select_of(spec, spec.transform)
    return frozenset[Column]().union(*(select.of(name, known) for name in names))


def source_fields(spec: VersionSpec, read: Reading) -> dict[str, frozenset[SourceField]]:
    """Return the source columns each feature is made of, through features it is computed from."""
    return {name: _fields(spec, origin, read) for name, origin in origins_of(spec).items()}


def _fields(spec: VersionSpec, origin: Origin, read: Reading) -> frozenset[SourceField]:
    found = set(origin.fields(spec.view.source))
    for reference in origin.features:
        below = read(reference)
        # What is computed from is stored; what that reads was approved before, so this ends.
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
