"""Definitions as Python objects: each says what its document in YAML says, key for key.
Not for checking them (the server does) nor for sending them (``FeatureStore.apply`` takes them).

An argument that is left out is left out of the definition, so that the server's default holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from assay.errors import Invalid
from assay.parts import (
    Aggregation,
    DefinitionPart,
    Duration,
    Feature,
    Inputs,
    Instant,
    JoinKey,
    Python,
    Schedule,
    SourceJoin,
    TimeColumn,
    ViewRead,
    Write,
    become,
)
from assay.shapes import JSON


class Definition(DefinitionPart):
    """What the five kinds have in common: a name, and words about it."""

    kind: ClassVar[str]
    name: str

    def to_dict(self) -> JSON:
        """Give the definition as the document that ``apply`` sends."""
        return {"kind": self.kind, **super().to_dict()}


@dataclass(frozen=True)
class Entity(Definition):
    """A thing that features are about, identified by one or more join keys."""

    kind = "Entity"
    name: str
    _: KW_ONLY
    join_keys: Sequence[JoinKey]
    description: str | None = None
    owner: str | None = None
    tags: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        become(self, "join_keys", [JoinKey.of(key) for key in self.join_keys])
        super().__post_init__()


@dataclass(frozen=True)
class DataSource(Definition):
    """Where rows come from. ``type`` is the kind, and says which of the keys below it takes.

    ``event_timestamp`` is when a row was true, ``created_timestamp`` when it was known (left out:
    as it was observed). ``lookback`` is how far each run looks back for rows that arrived late.

    *file*: ``path``, a file or a glob below ``root``.

    *delta*: ``path``, the folder of a Delta table below ``root``, or in the bucket that a
    ``connection`` leads to; its newest version at each run, or ``table_version``, or the version
    that was the newest ``as_of`` an instant.

    *postgres*: ``table`` (``schema.name``) or ``query``, one SELECT, by a ``connection`` that the
    server's operator gave the project.

    *s3*: ``path``, a file or a glob in the bucket that a ``connection`` leads to.

    *http*: ``path``, what is asked of the server that a ``connection`` leads to, with
    ``parameters``; ``schema``, the type of each column; ``rows``, where an answer has them;
    ``paging``, as in ``{"by": "cursor", "parameter": "cursor", "next": "meta.next"}``.

    *push*: ``schema``, the type of each column of the rows that programs push; ``optional``, those
    that a row may be without; ``event_id``, the column that tells events of one time apart.

    *kafka*: ``topic``, whose records a ``connection`` leads to, with ``schema`` and ``optional``;
    ``format``, ``json`` or ``avro`` with the schemas of a registry; ``key``, the column that has a
    record's key, and ``key_format``, ``text``, ``json`` or ``avro``; ``headers``, column → name of
    a header, and ``record_time``, the column that has the time a record carries.

    *redis_stream*: ``stream_key``, the stream in the Redis that a ``connection`` leads to, with
    ``schema`` and ``optional``; ``json_field``, the field that has an object of JSON (left out: the
    fields are columns), and ``record_time`` as above.
    """

    kind = "DataSource"
    name: str
    _: KW_ONLY
    event_timestamp: str | TimeColumn
    created_timestamp: str | TimeColumn | None = None
    type: str = "file"
    lookback: Duration | None = None
    path: str | None = None
    root: str | None = None
    table_version: int | None = None
    as_of: Instant | None = None
    connection: str | None = None
    table: str | None = None
    query: str | None = None
    topic: str | None = None
    format: str | None = None
    stream_key: str | None = None
    json_field: str | None = None
    schema: Mapping[str, str] | None = None
    optional: Sequence[str] | None = None
    event_id: str | None = None
    parameters: Mapping[str, str | int | bool] | None = None
    asks_by: str | None = None
    instants: str | None = None
    rows: str | None = None
    paging: Mapping[str, str | int] | None = None
    key: str | None = None
    key_format: str | None = None
    headers: Mapping[str, str] | None = None
    record_time: str | None = None
    description: str | None = None
    owner: str | None = None
    tags: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        for name in ("event_timestamp", "created_timestamp"):
            if not isinstance(time := getattr(self, name), str | None):
                become(self, name, TimeColumn.of(time))
        super().__post_init__()


@dataclass(frozen=True)
class FeatureView(Definition):
    """Features of one or more entities from one source; exactly ``features`` are stored.

    ``sql`` is one row-wise SELECT, ``python`` a function of a package that the server's operator
    installed, ``aggregations`` are rolling windows; with none of them the source's columns are
    taken as they are. ``sources`` are further ones, whose columns ``sql`` has beside each row:
    those of the newest row of a key that was known then. ``views`` are features of other views that
    stand there as well. ``where`` chooses rows of the source before all else. With
    ``accuracy="temporal"`` training sets have the windows as of each row's own time; over a push
    source, without a ``schedule``, online reads have them as of each read as well, and with
    ``accuracy="exact"`` over sources that runs read.

    ``ttl`` is how old a value may be, ``freshness`` the promise of how old what is served may
    become. ``start`` is where history begins.
    """

    kind = "FeatureView"
    name: str
    _: KW_ONLY
    entities: Sequence[str]
    source: str
    features: Sequence[Feature]
    version: str | None = None
    based_on: str | None = None
    sources: Sequence[SourceJoin] | None = None
    where: str | None = None
    views: Sequence[ViewRead] | None = None
    sql: str | None = None
    python: str | Python | None = None
    aggregations: Sequence[Aggregation] | None = None
    accuracy: str | None = None
    start: Instant | None = None
    ttl: Duration | None = None
    schedule: Schedule | None = None
    freshness: Duration | None = None
    online: bool | None = None
    checks: Mapping[str, Any] | None = None
    description: str | None = None
    owner: str | None = None
    tags: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        become(self, "features", [Feature.of(each) for each in self.features])
        if self.views is not None:
            become(self, "views", [ViewRead.of(each) for each in self.views])
        if self.sources is not None:
            become(self, "sources", [SourceJoin.of(each) for each in self.sources])
        if self.aggregations is not None:
            become(self, "aggregations", [Aggregation.of(each) for each in self.aggregations])
        if not isinstance(self.python, str | None):
            become(self, "python", Python.of(self.python))
        if self.schedule is not None:
            become(self, "schedule", Schedule.of(self.schedule))
        super().__post_init__()


@dataclass(frozen=True)
class OnDemandFeatureView(Definition):
    """Features that are computed at the request; each has ``sql`` over the inputs.

    With ``write`` they are computed of each row that arrives at a source, and stored.
    """

    kind = "OnDemandFeatureView"
    name: str
    _: KW_ONLY
    inputs: Inputs
    features: Sequence[Feature]
    write: Write | None = None
    version: str | None = None
    based_on: str | None = None
    description: str | None = None
    owner: str | None = None
    tags: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        become(self, "inputs", Inputs.of(self.inputs))
        become(self, "features", [Feature.of(each) for each in self.features])
        if self.write is not None:
            become(self, "write", Write.of(self.write))
        super().__post_init__()


@dataclass(frozen=True)
class FeatureService(Definition):
    """What one model reads: references as ``view:feature``, ``view@1.0.0:feature``, ``view:*``.

    ``context`` tells a language model of them: ``"spent {amount_sum_30d:.0f} USD in 30 days"``.
    """

    kind = "FeatureService"
    name: str
    _: KW_ONLY
    features: Sequence[str]
    context: str | None = None
    description: str | None = None
    owner: str | None = None
    tags: Mapping[str, str] | None = None


KINDS: dict[str, type[Definition]] = {
    each.kind: each
    for each in (Entity, DataSource, FeatureView, OnDemandFeatureView, FeatureService)
}


def definition_of(document: Mapping[str, Any]) -> Definition:
    """Give the object that says what a document does: ``definition_of(x.to_dict()) == x``.

    :raises Invalid: the kind, or a key of it, is none that is known; or a required key is missing.
    """
    body = dict(document)
    kind = body.pop("kind", None)
    if kind not in KINDS:
        raise Invalid(f"{kind!r} is no kind of a definition; the kinds are {', '.join(KINDS)}")
    try:
        return KINDS[kind].of(body)
    except TypeError as exc:  # a required key is missing; Python's words name it
        raise Invalid(f"{kind} {body.get('name', '')!r}: {exc}") from exc
