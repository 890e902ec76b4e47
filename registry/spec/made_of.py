"""What the features of a version are made of and how sensitive they are said to be. [pure]

Places and columns as they can be compared between versions, views and sources. Not for tracing a
definition (``lineage``), nor for what was agreed to (``registry.remembered``).
"""

from __future__ import annotations

import math
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from registry.choices import SENSITIVITY_ORDER, Sensitivity
from registry.spec.encodes import decides
from registry.spec.fingerprints import canonical_json
from registry.spec.lineage import Origin, origins_of, row_columns, row_fields
from registry.spec.masks import edge_of, edges_of, mask_words, shared_name, tells_more
from registry.spec.path_overlap import may_overlap
from registry.spec.row_sql import columns_under
from registry.spec.sources.base import RootedSource
from registry.spec.sql_lineage import EVERY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from registry.spec.masks import Mask
    from registry.spec.model import FeatureSpec
    from registry.spec.sql_lineage import SourceField
    from registry.spec.version_spec import VersionSpec


#: How the names of types begin that have values between whole numbers.
_FRACTIONS = ("FLOAT", "DOUBLE", "DECIMAL")


class Place(NamedTuple):
    """Where a source's rows are: its name in the project, and what of which root or server."""

    source: str
    root: str
    path: str
    #: The same as the definition says it: the root's or connection's name, and what there.
    said: tuple[str, str]

    def is_that_of(self, other: Place) -> bool:
        """Return whether both may hold the same rows: what is called alike, or may be one file."""
        if self.source == other.source:
            return True
        return bool(self.root) and self.root == other.root and may_overlap(self.path, other.path)

    def is_surely(self, other: Place) -> bool:
        """Return whether both hold the same rows for certain: what was agreed to of one is of both.

        A name alone says it of none: a source may be led elsewhere under its name. Of a root that
        whoever runs the server moved it still is.
        """
        is_one = bool(self.root) and self.root == other.root and self.said[1] == other.said[1]
        return is_one or (self.source, self.said) == (other.source, other.said)


class Told(NamedTuple):
    """What a feature tells of the columns of one source."""

    place: Place
    #: Whose values enter its own; in small letters, as engines compare them, ``*`` is every one.
    columns: frozenset[str]
    #: Columns that decide which rows there are, and those that their keys and times have: whoever
    #: reads its values is told something of those too.
    told_beside: frozenset[str]

    @property
    def tells_of(self) -> frozenset[str]:
        return self.columns | self.told_beside

    def shared(self, other: Told) -> str:
        """Return a column of the other's values that this tells something of; empty: none."""
        if not self.place.is_that_of(other.place):
            return ""
        both = self.tells_of & other.columns
        if not both and self.tells_of and other.columns and EVERY in self.tells_of | other.columns:
            both = self.tells_of | other.columns
        return f"{other.place.source}.{min(both)}" if both else ""

    def tells_beside(self, other: Told) -> bool:
        """Return whether what stands beside the values tells of the other's columns."""
        beside = self.told_beside if self.place.is_that_of(other.place) else frozenset[str]()
        return bool(beside & other.columns or (beside and EVERY in beside | other.columns))


class MadeOf(NamedTuple):
    """What one feature of one version is made of, and how sensitive the version says it is."""

    name: str
    sensitivity: Sensitivity
    #: Of the view's own source first, then of each that is joined.
    of: tuple[Told, ...]
    #: Views and features it is computed from.
    features: frozenset[tuple[str, str]]
    #: What of them it tells only, and the keys of what makes the values that are masked.
    mask: Mask | None = None
    maker: str = ""
    #: All that makes it of them, with what is installed of that; empty: a column as it is.
    made_by: str = ""
    #: How many whole numbers the edges of all buckets of its column leave alone with themselves.
    alone: int = 0

    def shared(self, other: MadeOf) -> str:
        """Return a column of the other's values that these tell something of; empty: none."""
        return next(filter(None, (one.shared(two) for one in self.of for two in other.of)), "")

    def masks_all_of(self, other: MadeOf) -> bool:
        """Return whether all that it tells of the other's columns is what its mask does."""
        tells = any(one.tells_beside(two) for one in self.of for two in other.of)
        return self.mask is not None and not tells

    def mask_said(self) -> str:
        """Say what the mask leaves to be told of the values, in words."""
        made = f" of what {self.maker} makes" if self.maker else ""
        said = f"{mask_words(self.mask)}{made}"
        if not self.alone:
            return said
        numbers = "a whole number" if self.alone == 1 else f"{self.alone} whole numbers"
        return f"{said}, telling {numbers}"

    def hashes_as(self, other: MadeOf) -> bool:
        """Return whether equal values of both have equal hashes because of one name they have."""
        name = shared_name(self.mask)
        return bool(name) and name == shared_name(other.mask)

    def has_all_of(self, other: MadeOf) -> bool:
        """Return whether nothing that the other is made of, and tells of it, is lacking here."""
        has_all = self.features >= other.features and all(
            any(one.place.is_surely(two.place) and one.tells_of >= two.tells_of for one in self.of)
            for two in other.of
            if two.tells_of
        )
        if self.made_by and self.made_by != other.made_by:
            return False  # a column itself tells all of it; what is made of it tells what it may
        return has_all and not tells_more(self.mask, other.mask)


def made_of(spec: VersionSpec) -> Iterator[MadeOf]:
    """Yield what each feature of a version is made of, in its order."""
    origins, makings, rows = origins_of(spec), _makings(spec), _told_by_rows(spec)
    for feature in spec.features:
        origin = origins.get(feature.name, Origin())
        references = frozenset((each.view, each.feature) for each in origin.features)
        told = tuple(_with(each, origin, is_own=place == 0) for place, each in enumerate(rows))
        made = MadeOf(feature.name, feature.sensitivity, told, references)
        made = made._replace(made_by=makings[feature.name])
        if feature.mask is not None:
            made = made._replace(
                mask=feature.mask,
                maker=" and ".join(f"`{key}`" for key in spec.makers),
                alone=_alone(feature, spec),
            )
        yield made


def _told_by_rows(spec: VersionSpec) -> list[Told]:
    """Return what the keys and times of each row tell of each source, its own first."""
    fields, nothing = row_fields(spec), frozenset[str]()
    told = [Told(place_of(spec), nothing, _small(row_columns(spec)))]
    told += (
        Told(place_of(side), nothing, _of_source(fields, side.view.name)) for side in spec.sides
    )
    return told


def _with(told: Told, origin: Origin, *, is_own: bool) -> Told:
    """Return it with what a feature of that origin tells of the same source."""
    if is_own:
        made, beside = _small(origin.columns), _small(origin.chosen_by)
    else:
        name = told.place.source
        made, beside = _of_source(origin.joined, name), _of_source(origin.joined_by, name)
    return told._replace(columns=made, told_beside=told.told_beside | beside)


def _of_source(fields: Iterable[SourceField], name: str) -> frozenset[str]:
    return _small(field.column for field in fields if field.source == name)


def _makings(spec: VersionSpec) -> dict[str, str]:
    """Return all that makes each feature of what it is made of; empty: it is a column itself.

    Which rows there are counts where something is made of them, masks too.
    """
    own = {each.name: _making(each, spec) for each in spec.features}
    found = {}
    for feature in spec.features:
        said = list(own[feature.name])
        if feature.sql is not None:
            said += [
                each for name in sorted(columns_under(feature.sql)) for each in own.get(name, ())
            ]
        is_made = bool(said) or feature.mask is not None or bool(spec.transform.maker)
        found[feature.name] = "\n".join([*said, spec.made_by]) if is_made else ""
    return found


def _making(feature: FeatureSpec, spec: VersionSpec) -> list[str]:
    """Return what a feature has of its own: its aggregate, expression and encoding."""
    said = [] if feature.sql is None else [feature.sql]
    if feature.sql is None and (output := spec.view.aggregate_outputs().get(feature.source_column)):
        said.append(f"{output.function} over {output.window} where {output.where or 'any'}")
    if feature.encode is not None:
        said.append(canonical_json(decides(feature.encode)))
    return said


def _alone(feature: FeatureSpec, spec: VersionSpec) -> int:
    """Return how many whole numbers are in a bucket of their own, by all edges over the column.

    None of a column that has fractions.
    """
    kind = spec.schema.types.get(feature.source_column, "") if spec.schema else ""
    if not edges_of(feature.mask) or not spec.transform.maker and kind.startswith(_FRACTIONS):
        return 0
    over = [each for each in spec.features if each.source_column == feature.source_column]
    edges = {edge_of(edge) for each in over for edge in edges_of(each.mask)}
    whole = sorted(math.ceil(edge) for edge in edges if isinstance(edge, Decimal))
    return sum(high - low == 1 for low, high in pairwise(whole))


def rank(sensitivity: Sensitivity) -> int:
    """Return how closed a sensitivity is, the most open first."""
    return SENSITIVITY_ORDER.index(sensitivity)


def _small(columns: Iterable[str]) -> frozenset[str]:
    return frozenset(column.lower() for column in columns)


def place_of(spec: VersionSpec) -> Place:
    """Return where the rows of a version are."""
    source = spec.source
    if source is None:
        return Place("", "", "", ("", ""))
    root = source.root if isinstance(source, RootedSource) else ""
    said = (source.link or root, source.as_written())
    return Place(source.name, spec.root_identity, source.path_within(), said)
