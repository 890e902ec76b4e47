"""The rows that a source brought before, where they come without runs: as tables have stored them.

Encodings over such a source are fitted on those: it has none to look at. Not for fitting
(``runner.fitting``) or for opening them (``sources.arriving``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from msgspec.structs import replace

from materialization.stores.columns import CREATED, EVENT
from registry.queries import may_arrive, served_versions
from registry.spec.sources.arriving import ArrivingSource
from registry.spec.transforms import Columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from registry.models import FeatureTable, FeatureViewVersion, Project
    from registry.spec.model import FeatureSpec
    from registry.spec.version_spec import VersionSpec

#: What of a source may be another without its rows being others: which columns there are beside
#: those that are read, and what windows are made by.
_BESIDE_ROWS = ("schema", "optional", "event_id", "lookback")


class Arrived(NamedTuple):
    """A version whose table has rows as they came, and by the source's columns its names."""

    version: FeatureViewVersion
    columns: dict[str, str]

    @property
    def table(self) -> FeatureTable:
        return cast("FeatureTable", self.version.table)  # a ready version has one

    def read_by(self, spec: VersionSpec) -> VersionSpec:
        """Return a version that is fitted as it reads these: what its ``where`` chose, they are."""
        if self.version.spec.view.where is None:
            return spec
        return replace(spec, view=replace(spec.view, where=None))


class Keepers:
    """The versions of a project whose tables have what a version's source brought."""

    def __init__(self, spec: VersionSpec, project: Project) -> None:
        found = served_versions().filter(
            may_arrive(), feature_view__project=project, table__ready_at__isnull=False
        )
        same = (each for each in found.defer("packet") if _is_same(each.spec, spec))
        self._spec = spec
        #: Who has taken rows for the longest has the most of them: it comes first.
        self._versions = sorted(same, key=_rank)

    def of(self, feature: FeatureSpec) -> Arrived | None:
        """Return where the rows are that a feature is fitted on; None: nobody has them so."""
        alone = replace(self._spec, view=replace(self._spec.view, features=(feature,)))
        for version in self._versions:
            kept = version.spec
            if kept.view.where not in (None, alone.view.where):
                continue
            arrived = Arrived(version, _as_they_came(kept))
            if _needed(arrived.read_by(alone)) <= _alike(arrived.columns, kept, alone):
                return arrived
        return None

    def lacking(self, feature: FeatureSpec) -> str:
        """Say that nobody has the rows that a feature is fitted on, and what to do."""
        source = cast("ArrivingSource", self._spec.rows_from)
        needed = _needed(replace(self._spec, view=replace(self._spec.view, features=(feature,))))
        features = ", ".join(sorted(needed.difference(_leading(self._spec))))
        return (
            f"{feature.name}: a fit takes rows that came before, and no ready version has those of"
            f" the {source.called} {source.name!r} with {features[:200]} as they come. Have one"
            " approved that stores them so first (features of these columns, without `sql`, `mask`"
            " and `encode`, of a view without a `where` or with this one), push rows, and encode"
            " them in the next version. Steps that say all themselves need no rows: log, clip,"
            " hashed, bucketize by edges, impute a value."
        )


def _rank(version: FeatureViewVersion) -> tuple[object, ...]:
    table = cast("FeatureTable", version.table)
    return (table.ready_at, table.pk, -version.pk)


def not_there(spec: VersionSpec, project: Project) -> list[tuple[tuple[str | int, ...], str]]:
    """Return the place of each feature of a version that cannot be fitted, and why not."""
    if not is_fitted_on_arrived(spec):
        return []
    keepers = Keepers(spec, project)
    return [
        (("features", place, "encode"), keepers.lacking(feature))
        for place, feature in enumerate(spec.features)
        if feature.is_fitted and keepers.of(feature) is None
    ]


def is_fitted_on_arrived(spec: VersionSpec) -> bool:
    return spec.is_pushed and not spec.has_exact_windows and bool(spec.fitted_features)


def _is_same(kept: VersionSpec, spec: VersionSpec) -> bool:
    """Return whether the rows of two versions came of one source."""
    if not isinstance(kept.source, ArrivingSource) or not isinstance(spec.source, ArrivingSource):
        return False
    return kept.source.name == spec.source.name and _rows_of(kept.source) == _rows_of(spec.source)


def _rows_of(source: ArrivingSource) -> dict[str, object]:
    return {key: said for key, said in source.decides().items() if key not in _BESIDE_ROWS}


def _as_they_came(kept: VersionSpec) -> dict[str, str]:
    """Return what a table calls the columns of its source that it stores as they came."""
    if not isinstance(kept.transform, Columns):
        return {}
    source = kept.rows_from
    plain = (each for each in kept.features if each.mask is None and each.encode is None)
    columns = {each.source_column: each.name for each in plain}
    columns |= {key.name: key.name for key in kept.join_keys}
    columns[source.event_timestamp.column] = EVENT
    if source.created_timestamp is not None:
        columns[source.created_timestamp.column] = CREATED
    return columns


def _alike(columns: Iterable[str], kept: VersionSpec, spec: VersionSpec) -> set[str]:
    """Return those of the columns that both versions have of one type."""
    theirs, ours = _schema(kept), _schema(spec)
    return {name for name in columns if name in ours and theirs.get(name) == ours[name]}


def _needed(spec: VersionSpec) -> frozenset[str]:
    read = spec.columns_read
    return frozenset(_schema(spec)) if read is None else read


def _leading(spec: VersionSpec) -> Sequence[str]:
    source = spec.rows_from
    times = (source.event_timestamp, source.created_timestamp)
    return [*(key.name for key in spec.join_keys), *(time.column for time in times if time)]


def _schema(spec: VersionSpec) -> dict[str, str]:
    return cast("ArrivingSource", spec.rows_from).schema
