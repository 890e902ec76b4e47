"""The rows that a source brought before, where they come without runs: as tables have stored them.

Encodings over such a source are fitted on those: it has none to look at. Not for fitting
(``runner.fitting``) or for opening them (``sources.arriving``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from msgspec.structs import replace

from materialization.stores.columns import CREATED, EVENT
from materialization.transforms.fit_rows import LABEL_TYPE
from registry.queries import may_arrive, served_versions
from registry.spec.sources.arriving import ArrivingSource
from registry.spec.transforms import Columns, RowSql

if TYPE_CHECKING:
    from registry.models import FeatureTable, FeatureViewVersion, Project
    from registry.spec.model import FeatureSpec
    from registry.spec.sources.kinds import Source
    from registry.spec.version_spec import VersionSpec

#: What of a source may be another without its rows being others: which columns there are beside
#: those that are read, and what windows are made by.
_BESIDE_ROWS = ("schema", "optional", "event_id", "lookback")
#: Types of features whose values are those that a step takes, whatever its SQL gave.
_HELD = {"float64": ("float64", "int32", "int64"), "string": ("string",)}


class Arrived(NamedTuple):
    """A version whose table has rows that a fit can take in place of its source's.

    ``columns``: what the table calls each column of them, ``types``: of which type it is.
    """

    version: FeatureViewVersion
    columns: dict[str, str]
    types: dict[str, str]

    @property
    def table(self) -> FeatureTable:
        return cast("FeatureTable", self.version.table)  # a ready version has one

    def read_by(self, spec: VersionSpec) -> VersionSpec:
        """Return a version as it is fitted: of what made these rows it makes nothing again."""
        made = dict.fromkeys(self.version.spec.makers)
        source = replace(_source(spec), schema=self.types)
        return replace(spec, view=replace(spec.view, **made), source=source)


class Keepers:
    """The versions of a project whose tables have what a source brought."""

    def __init__(self, source: Source, project: Project) -> None:
        found = served_versions().filter(
            may_arrive(), feature_view__project=project, table__ready_at__isnull=False
        )
        same = (each for each in found.defer("packet") if _is_same(each.spec.source, source))
        #: Who has taken rows for the longest has the most of them: it comes first.
        self._versions = sorted(same, key=_rank)

    def of(self, spec: VersionSpec, feature: FeatureSpec) -> Arrived | None:
        """Return where the rows are that a feature is fitted on; None: nobody has them so."""
        alone = replace(spec, view=replace(spec.view, features=(feature,)))
        for version in self._versions:
            kept = version.spec
            if not _makes_no_more(kept, alone):
                continue
            arrived = Arrived(version, *_stored_by(kept))
            wanted = _made(alone) if kept.view.sql else _read(arrived.read_by(alone), alone)
            if all(arrived.types.get(name) in kinds for name, kinds in wanted.items()):
                return arrived
        return None


def not_there(spec: VersionSpec, keepers: Keepers) -> list[tuple[tuple[str | int, ...], str]]:
    """Return the place of each feature of a version that cannot be fitted, and why not."""
    if not is_fitted_on_arrived(spec):
        return []
    return [
        (("features", place, "encode"), lacking_rows(spec, feature))
        for place, feature in enumerate(spec.features)
        if feature.is_fitted and keepers.of(spec, feature) is None
    ]


def lacking_rows(spec: VersionSpec, feature: FeatureSpec) -> str:
    """Say that nobody has the rows that a feature is fitted on, and what to do."""
    source, alone = _source(spec), replace(spec, view=replace(spec.view, features=(feature,)))
    columns = ", ".join(sorted(_read(alone, alone).keys() - _leading(spec)))[:200]
    made = ", ".join(feature.columns_read)[:200]
    or_made = f", or with {made} as this `sql` makes it" if spec.view.sql else ""
    return (
        f"{feature.name}: a fit takes rows that came before, and no ready version has those of the"
        f" {source.called} {source.name!r} with {columns} as they come{or_made}. Have one approved"
        " that stores them so first (as features without `mask` and `encode`, of a view without a"
        " `where` or with this one), push rows, and encode them in the next version. Steps that say"
        " all themselves need no rows: log, clip, hashed, bucketize by edges, impute a value."
    )


def is_fitted_on_arrived(spec: VersionSpec) -> bool:
    """Return whether a version is fitted on such rows; windows over them have no encodings."""
    return spec.is_pushed and not spec.stores_events_only and bool(spec.fitted_features)


def _rank(version: FeatureViewVersion) -> tuple[object, ...]:
    table = cast("FeatureTable", version.table)
    return (table.ready_at, table.pk, -version.pk)


def _is_same(one: Source | None, other: Source) -> bool:
    """Return whether rows of two embedded sources came of one."""
    if not isinstance(one, ArrivingSource) or not isinstance(other, ArrivingSource):
        return False
    return one.name == other.name and _rows_of(one) == _rows_of(other)


def _rows_of(source: ArrivingSource) -> dict[str, object]:
    return {key: said for key, said in source.decides().items() if key not in _BESIDE_ROWS}


def _makes_no_more(kept: VersionSpec, spec: VersionSpec) -> bool:
    """Return whether the stored rows are on the way to those of a version: it goes on from them."""
    is_row_by_row = isinstance(kept.transform, (Columns, RowSql))
    return is_row_by_row and kept.makers.items() <= spec.makers.items()


def _stored_by(kept: VersionSpec) -> tuple[dict[str, str], dict[str, str]]:
    """Return what a table calls the columns that it stores as they are, and their types."""
    source = kept.rows_from
    plain = [each for each in kept.features if each.mask is None and each.encode is None]
    columns = {each.source_column: each.name for each in plain}
    types = {each.source_column: each.type for each in plain}
    for key in kept.join_keys:
        columns[key.name], types[key.name] = key.name, key.type
    for time, name in ((source.event_timestamp, EVENT), (source.created_timestamp, CREATED)):
        if time is not None:
            columns[time.column], types[time.column] = name, "timestamp"
    return columns, types


def _read(spec: VersionSpec, whole: VersionSpec) -> dict[str, tuple[str, ...]]:
    """Return the columns that a version reads of its source, with the types ``whole`` declares."""
    schema, read = _source(whole).schema, spec.columns_read
    return {name: (schema.get(name, ""),) for name in (schema if read is None else read)}


def _made(spec: VersionSpec) -> dict[str, tuple[str, ...]]:
    """Return what a version of one feature takes of what its SQL gives, with types that hold it."""
    (feature,) = spec.features
    wanted = {feature.source_column: _HELD[feature.unencoded.type]}
    if feature.label is not None:
        wanted[feature.label] = _HELD[str(LABEL_TYPE)]
    return wanted | {key.name: (key.type,) for key in spec.join_keys}


def _leading(spec: VersionSpec) -> set[str]:
    source = spec.rows_from
    times = (source.event_timestamp, source.created_timestamp)
    return {*(key.name for key in spec.join_keys), *(time.column for time in times if time)}


def _source(spec: VersionSpec) -> ArrivingSource:
    return cast("ArrivingSource", spec.rows_from)
