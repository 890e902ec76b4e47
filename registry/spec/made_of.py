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
from registry.spec.lineage import Origin, origins_of, row_columns
from registry.spec.masks import edge_of, edges_of, mask_words, shared_name, tells_more
from registry.spec.path_overlap import may_overlap
from registry.spec.row_sql import columns_under
from registry.spec.sql_lineage import EVERY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from registry.spec.masks import Mask
    from registry.spec.model import FeatureSpec, VersionSpec


#: How the names of types begin that have values between whole numbers.
_FRACTIONS = ("FLOAT", "DOUBLE", "DECIMAL")


class Place(NamedTuple):
    """Where a source's rows are: its name in the project, and what of which root or server."""

    source: str
    root: str
    path: str

    def is_that_of(self, other: Place) -> bool:
        """Return whether both may hold the same rows: what is called alike, or may be one file."""
        if self.source == other.source:
            return True
        return bool(self.root) and self.root == other.root and may_overlap(self.path, other.path)


class MadeOf(NamedTuple):
    """What one feature of one version is made of, and how sensitive the version says it is."""

    name: str
    sensitivity: Sensitivity
    place: Place
    #: Whose values enter its own; in small letters, as engines compare them, ``*`` is every one.
    columns: frozenset[str]
    #: Columns that decide which rows there are, and those that their keys and times have: whoever
    #: reads its values is told something of those too.
    told_beside: frozenset[str]
    #: Views and features it is computed from.
    features: frozenset[tuple[str, str]]
    #: What of them it tells only, and the keys of what makes the values that are masked.
    mask: Mask | None = None
    maker: str = ""
    #: All that makes it of them, with what is installed of that; empty: a column as it is.
    made_by: str = ""
    #: How many whole numbers the edges of all buckets of its column leave alone with themselves.
    alone: int = 0

    @property
    def tells_of(self) -> frozenset[str]:
        return self.columns | self.told_beside

    def shared(self, other: MadeOf) -> str:
        """Return a column of the other's values that these tell something of; empty: none."""
        if not self.place.is_that_of(other.place):
            return ""
        both = self.tells_of & other.columns
        if not both and self.tells_of and other.columns and EVERY in self.tells_of | other.columns:
            both = self.tells_of | other.columns
        return f"{other.place.source}.{min(both)}" if both else ""

    def masks_all_of(self, other: MadeOf) -> bool:
        """Return whether all that it tells of the other's columns is what its mask does."""
        beside = self.told_beside
        tells = beside & other.columns or (beside and EVERY in beside | other.columns)
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
        is_there = not other.tells_of or self.place.is_that_of(other.place)
        has_all = self.tells_of >= other.tells_of and self.features >= other.features
        if self.made_by and self.made_by != other.made_by:
            return False  # a column itself tells all of it; what is made of it tells what it may
        return is_there and has_all and not tells_more(self.mask, other.mask)


def made_of(spec: VersionSpec) -> Iterator[MadeOf]:
    """Yield what each feature of a version is made of, in its order."""
    origins, place, beside = origins_of(spec), place_of(spec), row_columns(spec)
    makings = _makings(spec)
    for feature in spec.features:
        origin = origins.get(feature.name, Origin())
        references = frozenset((each.view, each.feature) for each in origin.features)
        parts = (_small(origin.columns), _small(origin.chosen_by | beside), references)
        made = MadeOf(feature.name, feature.sensitivity, place, *parts)
        made = made._replace(made_by=makings[feature.name])
        if feature.mask is not None:
            made = made._replace(
                mask=feature.mask,
                maker=" and ".join(f"`{key}`" for key in spec.makers),
                alone=_alone(feature, spec),
            )
        yield made


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
        return Place("", "", "")
    return Place(source.name, spec.root_identity, source.path_within())
