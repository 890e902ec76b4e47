"""What a definition says, as frozen values: entities, features, views, services. [pure]

Not for reading YAML (``reading``) nor for what a version of a view embeds (``version_spec``).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar

import msgspec

from registry.choices import Accuracy, Sensitivity
from registry.spec.aggregations import ALL_HISTORY, AggregateOutput, AggregationSpec
from registry.spec.base import Described, Name, Spec
from registry.spec.checks import Checks, ViewChecks
from registry.spec.durations import parse_duration
from registry.spec.encodes import EncodeSpec, input_type
from registry.spec.joins import SourceJoin  # noqa: TC001 - as above
from registry.spec.masks import Mask, edges_of, labels, mask_words
from registry.spec.on_demand import OnDemandInputs
from registry.spec.python_code import PythonCall  # noqa: TC001 - as sources
from registry.spec.row_sql import columns_under
from registry.spec.transforms import transform_of
from registry.spec.value_types import ValueType, parse_type
from registry.spec.view_reads import ViewRead  # noqa: TC001 - as sources


class JoinKey(Spec, frozen=True):
    #: Keys that belong elsewhere, and what to do in their place.
    misplaced: ClassVar[dict[str, str]] = {
        "mask": "rows are found by a key as it is; write masked keys into the source itself."
    }
    name: Name
    type: str

    @property
    def value_type(self) -> ValueType:
        return parse_type(self.type)


class EntitySpec(Described, frozen=True, kw_only=True):
    join_keys: tuple[JoinKey, ...]


class FeatureSpec(Spec, frozen=True, kw_only=True):
    name: Name
    type: str
    column: str | None = None
    description: str = ""
    #: What a number counts, as people write it behind it: USD, km/h, titles.
    unit: str = ""
    sensitivity: Sensitivity = Sensitivity.INTERNAL
    checks: Checks = Checks()
    #: What is stored in place of the column's values; None: the values themselves.
    mask: Mask | None = None
    #: The steps that make of the column's values what is stored; None: they are stored themselves.
    encode: EncodeSpec | None = None
    #: The expression of a feature that is computed out of others: at the request, or with those of
    #: a view that aggregates. None where a column is stored.
    sql: str | None = None

    @property
    def source_column(self) -> str:
        return self.column or self.name

    @property
    def columns_read(self) -> tuple[str, ...]:
        """The columns its values are made of: its own, and that of the label it is fitted to."""
        return (self.source_column,) if self.label is None else (self.source_column, self.label)

    @property
    def label(self) -> str | None:
        """What its encoding is fitted to beside its own values; None: nothing is."""
        return self.encode.label if self.encode is not None else None

    @property
    def masked(self) -> str:
        """What is stored in place of the column's values, in words; empty: the values."""
        return mask_words(self.mask) if self.mask is not None else ""

    @property
    def encoded(self) -> str:
        """What makes of the column's values what is stored, in words; empty: nothing."""
        return str(self.encode) if self.encode is not None else ""

    @property
    def is_fitted(self) -> bool:
        return self.encode is not None and self.encode.is_fitted

    @property
    def unencoded(self) -> FeatureSpec:
        """What its steps take, as a feature; itself where there are none."""
        if self.encode is None:
            return self
        return msgspec.structs.replace(self, encode=None, type=str(input_type(self.encode)))

    @property
    def buckets(self) -> tuple[str, ...]:
        """What the buckets of a mask are called; empty where there are none."""
        edges = edges_of(self.mask)
        return labels(edges) if edges else ()

    @property
    def value_type(self) -> ValueType:
        return parse_type(self.type)


class ScheduleSpec(Spec, frozen=True):
    """Either ``every`` (at whole multiples since 1970, UTC) or ``cron`` (five fields, UTC)."""

    every: str | None = None
    cron: str | None = None

    def __str__(self) -> str:
        return f"every {self.every}" if self.every else f"cron {self.cron}"


class FeatureViewSpec(Described, frozen=True, kw_only=True):
    version: str | None = None
    based_on: str | None = None
    entities: tuple[Name, ...]
    source: Name
    #: Further sources, whose rows ``sql`` has beside each row of its own.
    sources: tuple[SourceJoin, ...] = ()
    #: Only rows of the source of which it is true are there for the view.
    where: str | None = None
    #: Features of other views that stand beside each row, for ``sql`` to name.
    views: tuple[ViewRead, ...] = ()
    sql: str | None = None
    python: PythonCall | None = None
    aggregations: tuple[AggregationSpec, ...] = ()
    #: Of aggregations: at the ticks of the schedule, or in training sets at each row's own time.
    accuracy: Accuracy = Accuracy.SNAPSHOT
    #: What a view without a source is computed from, at the request.
    inputs: OnDemandInputs | None = None
    features: tuple[FeatureSpec, ...]
    start: datetime | None = None
    ttl: str | None = None
    schedule: ScheduleSpec | None = None
    #: The promise: what is served is never older than this.
    freshness: str | None = None
    online: bool = True
    checks: ViewChecks = ViewChecks()

    @property
    def ttl_duration(self) -> timedelta | None:
        return parse_duration(self.ttl) if self.ttl else None

    @property
    def promised_age(self) -> timedelta | None:
        """How old what is served may become; None: nothing is promised."""
        return parse_duration(self.freshness) if self.freshness else None

    @property
    def asks(self) -> bool:
        """Whether expressions of its author's choose its rows or make its values."""
        transform = transform_of(self)
        is_derived = transform.is_stored and bool(self.expressions)
        return bool(self.conditions()) or is_derived or transform.asks

    @property
    def expressions(self) -> dict[str, str]:
        """The features that are computed out of others, and how."""
        return {each.name: each.sql for each in self.features if each.sql is not None}

    def conditions(self) -> dict[tuple[str | int, ...], str]:
        """Return each condition over the rows of the source, by its place in the definition."""
        found: dict[tuple[str | int, ...], str | None] = {("where",): self.where}
        for index, each in enumerate(self.aggregations):
            found["aggregations", index, "where"] = each.where
        return {path: where for path, where in found.items() if where is not None}

    @property
    def longest_window(self) -> timedelta:
        """How far back its aggregations reach; zero without any."""
        outputs = self.aggregate_outputs().values()
        return max((output.window for output in outputs), default=timedelta())

    @property
    def is_unbounded(self) -> bool:
        """Whether one of its windows holds all of history."""
        return self.longest_window >= ALL_HISTORY

    def aggregate_outputs(self) -> dict[str, AggregateOutput]:
        """Return every column the aggregations can give; see ``AggregationSpec.outputs``."""
        return {
            name: output
            for aggregation in self.aggregations
            for name, output in aggregation.outputs().items()
        }

    def aggregates_of(self, feature: FeatureSpec) -> dict[str, FeatureSpec]:
        """Return the aggregated features that one is made of: itself, or those it computes with."""
        if not self.aggregations:
            return {}
        if feature.sql is None:
            return {feature.name: feature}
        named = {each.name: each for each in self.features}
        return {name: named[name] for name in columns_under(feature.sql) if name in named}


class FeatureServiceSpec(Described, frozen=True, kw_only=True):
    features: tuple[str, ...]
    #: How its features are told in a prompt, see ``spec.context``; None: name by name.
    context: str | None = None
