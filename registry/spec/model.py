"""What a definition says, as frozen values: entities, views, services, whole versions. [pure]

Not for reading YAML (``reading``), fingerprints (``fingerprints``) or storing anything.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, ClassVar

import msgspec

from lib.decoding import json_reader
from registry.choices import Accuracy, Sensitivity
from registry.spec.aggregations import ALL_HISTORY, AggregateOutput, AggregationSpec
from registry.spec.base import Described, Name, Spec
from registry.spec.checks import Checks, ViewChecks
from registry.spec.durations import parse_duration
from registry.spec.encodes import EncodeSpec  # noqa: TC001 - msgspec reads the annotations
from registry.spec.masks import Mask, edges_of, is_hash, labels, mask_words
from registry.spec.on_demand import OnDemandFeature, OnDemandInputs, OnDemandViewSpec
from registry.spec.python_code import PythonCall, PythonCode  # noqa: TC001 - as sources
from registry.spec.row_sql import check_expression, columns_under
from registry.spec.sources import Source, SourceSchema  # noqa: TC001 - msgspec reads them
from registry.spec.transforms import Transform, transform_of
from registry.spec.value_types import ValueType, parse_type


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
        label = self.encode.label if self.encode is not None else None
        return (self.source_column,) if label is None else (self.source_column, label)

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
    #: Only rows of the source of which it is true are there for the view.
    where: str | None = None
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


class FeatureServiceSpec(Described, frozen=True, kw_only=True):
    features: tuple[str, ...]


class VersionSpec(Spec, frozen=True):
    """One version whole: its source and entities are embedded, so that nothing moves behind it."""

    view: FeatureViewSpec
    #: None where nothing is stored: an on-demand view is computed at the request.
    source: Source | None = None
    entities: tuple[EntitySpec, ...] = ()
    #: Which place the source's root was when the version was written; see ``FileRoot.identity``.
    root_identity: str = ""
    #: Which of the project's keys hashes are made with; empty where there are none.
    mask_key: str = ""
    #: What the source was at submit; None before, and where nothing is stored.
    schema: SourceSchema | None = None
    #: What was installed at submit of what a Python transform calls; None where there is none.
    code: PythonCode | None = None
    #: By feature: the identity of what its encoding was fitted to; see ``registry.fittings``.
    fittings: dict[str, str] = {}
    #: By feature, what each step was fitted to. An engine's process alone has it, no stored text.
    fitted: dict[str, tuple[dict[str, Any], ...]] = {}

    @property
    def rows_from(self) -> Source:
        """The source of a view that is stored.

        :raises LookupError: nothing of it is; ask ``transform.is_stored`` first.
        """
        if self.source is None:
            raise LookupError(f"{self.view.name} has no source: it is computed at the request")
        return self.source

    @property
    def join_keys(self) -> tuple[JoinKey, ...]:
        """The join keys of all entities, in the view's order; names are unique."""
        return tuple(key for entity in self.entities for key in entity.join_keys)

    @property
    def columns_read(self) -> frozenset[str] | None:
        """The columns it reads of its source, keys and times too, by exact name; None: all."""
        read = self.transform.source_columns(self.view)
        if read is not None and self.view.where is not None:
            read = (*read, *columns_under(self.view.where))
        if read is None or not self.transform.reads_keys:
            return None if read is None else frozenset(read)
        times = (self.rows_from.event_timestamp, self.rows_from.created_timestamp)
        keys = (key.name for key in self.join_keys)
        return frozenset({*read, *keys, *(time.column for time in times if time)})

    @property
    def features(self) -> tuple[FeatureSpec, ...]:
        return self.view.features

    def taken(self, *, schema: SourceSchema | None, code: PythonCode | None) -> VersionSpec:
        """Return it as it is submitted: with what its source and its function are then.

        What its encodings are fitted to is named after that; until then nothing is.
        """
        return msgspec.structs.replace(self, schema=schema, code=code, fittings={})

    @property
    def untaken(self) -> VersionSpec:
        """What people wrote, without what was taken of it at submit."""
        return self.taken(schema=None, code=None)

    @property
    def makers(self) -> dict[str, str]:
        """What makes the values of its features of the source's columns, by the view's keys."""
        transform = self.transform
        found = {str(transform.key): transform.maker, "where": self.view.where or ""}
        return {key: said for key, said in found.items() if said}

    @property
    def made_by(self) -> str:
        """All of that, with what is installed of it; empty: they are the columns."""
        code = [self.code.sha256] if self.code is not None else []
        return "\n".join([*self.makers.values(), *code])

    @property
    def keeps_events(self) -> bool:
        """Whether the rows that are aggregated are stored too, beside the ticks made of them."""
        return self.transform.makes_ticks and self.view.accuracy is Accuracy.TEMPORAL

    @property
    def has_masks(self) -> bool:
        return any(feature.mask is not None for feature in self.features)

    @property
    def has_hashes(self) -> bool:
        return any(is_hash(feature.mask) for feature in self.features)

    @property
    def fitted_features(self) -> tuple[FeatureSpec, ...]:
        """The features whose encodings have steps that are fitted."""
        return tuple(feature for feature in self.features if feature.is_fitted)

    @property
    def ttl(self) -> timedelta | None:
        return self.view.ttl_duration

    @property
    def transform(self) -> Transform:
        return transform_of(self.view)


def stored_view(view: OnDemandViewSpec) -> FeatureViewSpec:
    """Return an on-demand view as versions keep it: a view of no source and no entities.

    :raises BadSql: an expression may not be run.
    """
    features = (
        FeatureSpec(
            name=each.name,
            type=each.type,
            description=each.description,
            sensitivity=each.sensitivity,
            sql=check_expression(each.sql),
        )
        for each in view.features
    )
    words = {name: getattr(view, name) for name in Described.__struct_fields__}
    return FeatureViewSpec(
        **words,
        version=view.version,
        based_on=view.based_on,
        entities=(),
        source="",
        inputs=view.inputs,
        features=tuple(features),
    )


def on_demand_view(view: FeatureViewSpec) -> OnDemandViewSpec:
    """Return the definition that ``stored_view`` made this of.

    :raises LookupError: it is no on-demand view.
    """
    if view.inputs is None:
        raise LookupError(f"{view.name} is computed from a source, not at the request")
    features = (
        OnDemandFeature(
            name=each.name,
            type=each.type,
            sql=each.sql or "",
            description=each.description,
            sensitivity=each.sensitivity,
        )
        for each in view.features
    )
    words = {name: getattr(view, name) for name in Described.__struct_fields__}
    return OnDemandViewSpec(
        **words,
        version=view.version,
        based_on=view.based_on,
        inputs=view.inputs,
        features=tuple(features),
    )


_read_version_spec = json_reader(VersionSpec)


@lru_cache(maxsize=1024)
def load_version_spec(text: str) -> VersionSpec:
    """Read back what ``canonical_json`` of a VersionSpec wrote; equal texts give one value."""
    return _read_version_spec(text)
