"""What versions took a source for when they were submitted: which columns, and who reads each.

Not for looking at the source itself (``looking``): this is what was agreed to.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from registry.catalogue.entries import rows_in_use
from registry.choices import SERVED_STATES, Sensitivity, State
from registry.models import FeatureViewVersion

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from registry.models import DataSource
    from registry.spec.sources.base import SourceSchema
    from registry.spec.version_spec import VersionSpec

#: Versions of one source that are compared.
MOST_VERSIONS = 200


class ColumnContract(NamedTuple):
    """One column of a source: its type as each version took it, and the features that need it.

    Those made of it, and those whose rows it chooses.
    """

    name: str
    #: Type → the versions that took it for that; more than one: they differ.
    types: dict[str, list[str]]
    features: list[str]
    #: The highest sensitivity of a feature that needs it; empty: none does.
    sensitivity: str
    #: What it is when looked at now; None: nobody looked.
    now: str | None = None

    @property
    def is_gone(self) -> bool:
        return self.now == ""

    @property
    def is_other(self) -> bool:
        return bool(self.now) and set(self.types) != {self.now}


class Contract(NamedTuple):
    """All of a source's columns, and the versions that were compared."""

    columns: list[ColumnContract]
    versions: list[FeatureViewVersion]
    #: There are more than are compared.
    has_more: bool


def contract_of(source: DataSource, now: SourceSchema | None = None) -> Contract:
    """Return what the versions in use took the source for, beside what it is ``now``."""
    rows = [row for row in rows_in_use({source.project_id}) if source.name in row.words.sources]
    versions = _versions([row.pk for row in rows])
    types: defaultdict[str, dict[str, list[str]]] = defaultdict(dict)
    for version in versions:
        schema = as_read(version.spec, source.name).schema
        for column in schema.columns if schema else ():
            types[column.name].setdefault(column.type, []).append(str(version))
    features: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in rows:
        for feature in row.words.features:
            own, origin = row.words.source, feature.origin
            for field in origin.fields(own) | origin.filters(own):
                if field.source == source.name:
                    said = row.reference(feature.name), feature.sensitivity
                    features[field.column].append(said)
    present = now.types if now else None
    names = sorted({*types, *features, *(present or {})})
    return Contract(
        [_column(name, types, features, present) for name in names],
        versions,
        has_more=len(rows) > MOST_VERSIONS,
    )


def _versions(keys: Sequence[int]) -> list[FeatureViewVersion]:
    found = FeatureViewVersion.objects.filter(pk__in=keys[:MOST_VERSIONS])
    return list(found.select_related("feature_view__project", "table").defer("packet"))


def _column(
    name: str,
    types: Mapping[str, dict[str, list[str]]],
    features: Mapping[str, list[tuple[str, str]]],
    present: Mapping[str, str] | None,
) -> ColumnContract:
    made = features.get(name, [])
    order = list(Sensitivity)
    highest = max((level for _, level in made), key=lambda each: order.index(Sensitivity(each)),
                  default="")  # fmt: skip
    now = None if present is None else present.get(name, "")
    return ColumnContract(
        name, types.get(name, {}), sorted(reference for reference, _ in made), highest, now
    )


def as_read(spec: VersionSpec, source: str) -> VersionSpec:
    """Return the version that reads a source as its own: of one that is joined, that side of it."""
    is_side = (side for side in spec.sides if side.rows_from.name == source)
    return next(is_side, spec)


def newest_reader(contract: Contract) -> FeatureViewVersion | None:
    """Return the version as which the source is looked at: the newest that answers, else any."""
    served = [each for each in contract.versions if each.state in SERVED_STATES]
    usable = served or [each for each in contract.versions if each.state != State.RETIRED]
    return max(usable, key=lambda version: version.pk, default=None)
