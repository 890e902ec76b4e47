"""Definitions as Python objects: each says what its document in YAML says, key for key.
Not for checking them (the server does) nor for sending them (``FeatureStore.apply`` takes them).

An argument that is left out is left out of the definition, so that the server's default holds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import date, datetime, timedelta
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar

from assay.encoding import plain
from assay.errors import Invalid
from assay.shapes import JSON

Duration: TypeAlias = "str | timedelta"
Instant: TypeAlias = "str | date | datetime"
Sensitivity: TypeAlias = Literal["public", "internal", "confidential", "restricted"]
Unit: TypeAlias = Literal["timestamp", "s", "ms", "us", "ns"]
#: ``sum`` or, with parameters, ``{"function": "last_k", "k": 10}``.
Function: TypeAlias = "str | Mapping[str, Any]"
Part = TypeVar("Part", bound="_Part")


class _Part:
    """What an object is made of; fields that are None are left out, lists become tuples."""

    def __post_init__(self) -> None:
        for name in _fields(type(self)):
            if isinstance(value := getattr(self, name), list):
                _become(self, name, tuple(value))

    def to_dict(self) -> JSON:
        """Give the keys and values as a definition has them."""
        return {
            name: _plain(value)
            for name in _fields(type(self))
            if (value := getattr(self, name)) is not None
        }

    @classmethod
    def _of(cls: type[Part], said: Any) -> Part:
        if isinstance(said, cls):
            return said
        names = _fields(cls)
        if unknown := sorted(set(said) - set(names)):
            raise Invalid(f"{cls.__name__} has no key {unknown[0]!r}; it has {', '.join(names)}")
        return cls(**said)


@dataclass(frozen=True)
class JoinKey(_Part):
    """One column that identifies an entity: its exact name in sources, and its type.

    ``type`` is ``bool``, ``int32``, ``int64``, ``string``, ``bytes``, ``timestamp`` or ``date``.
    """

    name: str
    type: str


@dataclass(frozen=True)
class TimeColumn(_Part):
    """A column that holds an instant; of numbers, ``unit`` is what they count since 1970."""

    column: str
    unit: Unit | None = None


@dataclass(frozen=True)
class Schedule(_Part):
    """When a view is due: ``every`` ("1h", at whole multiples since 1970) or ``cron``, in UTC."""

    every: Duration | None = None
    cron: str | None = None


@dataclass(frozen=True)
class Aggregation(_Part):
    """Rolling windows over one column: every function over every window.

    ``Aggregation("amount", functions=["sum"], windows=["30d"])`` can give ``amount_sum_30d``. Only
    rows of which ``where`` is true count; ``name`` stands for the column in names of outputs.
    """

    column: str
    _: KW_ONLY
    functions: Sequence[Function]
    windows: Sequence[Duration]
    where: str | None = None
    name: str | None = None


@dataclass(frozen=True)
class Python(_Part):
    """A function that makes each row's features: ``package.module:function``.

    It is given the ``columns`` it needs, without them all of the source's.
    """

    function: str
    columns: Sequence[str] | None = None


@dataclass(frozen=True)
class Feature(_Part):
    """One feature of a view: what is stored, or what ``sql`` computes of others.

    ``sql`` is for on-demand views, and for views that aggregate: an expression over their others.

    ``column`` where the source calls it otherwise. ``checks``, ``mask`` and ``encode`` are mappings
    as in YAML: ``{"not_null": 0.99, "min": 0}``, ``"hash"`` or ``{"bucket": [0, 10]}``,
    ``{"steps": ["standard"], "fit": {"from": "2026-01-01", "to": "2026-07-01"}}``.
    """

    name: str
    type: str
    _: KW_ONLY
    column: str | None = None
    description: str | None = None
    sensitivity: Sensitivity | None = None
    checks: Mapping[str, Any] | None = None
    mask: str | Mapping[str, Any] | None = None
    encode: Mapping[str, Any] | None = None
    sql: str | None = None


class Definition(_Part):
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
        _become(self, "join_keys", [JoinKey._of(key) for key in self.join_keys])
        super().__post_init__()


@dataclass(frozen=True)
class DataSource(Definition):
    """Where rows come from. ``type`` is the kind, and says which of the keys below it takes.

    ``event_timestamp`` is when a row was true, ``created_timestamp`` when it was known (left out:
    as it was observed). ``lookback`` is how far each run looks back for rows that arrived late.

    *file*: ``path``, a file or a glob below ``root``.

    *delta*: ``path``, the folder of a Delta table below ``root``; its newest version at each run,
    or ``table_version``, or the version that was the newest ``as_of`` an instant.

    *postgres*: ``table`` (``schema.name``) or ``query``, one SELECT, by a ``connection`` that the
    server's operator gave the project.
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
    description: str | None = None
    owner: str | None = None
    tags: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        for name in ("event_timestamp", "created_timestamp"):
            if not isinstance(time := getattr(self, name), str | None):
                _become(self, name, TimeColumn._of(time))
        super().__post_init__()


@dataclass(frozen=True)
class FeatureView(Definition):
    """Features of one or more entities from one source; exactly ``features`` are stored.

    ``sql`` is one row-wise SELECT, ``python`` a function of a package that the server's operator
    installed, ``aggregations`` are rolling windows; with none of them the source's columns are
    taken as they are. ``where`` chooses rows of the source before all else. With
    ``accuracy="temporal"`` training sets have the windows as of each row's own time.

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
    where: str | None = None
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
        _become(self, "features", [Feature._of(each) for each in self.features])
        if self.aggregations is not None:
            _become(self, "aggregations", [Aggregation._of(each) for each in self.aggregations])
        if not isinstance(self.python, str | None):
            _become(self, "python", Python._of(self.python))
        if self.schedule is not None:
            _become(self, "schedule", Schedule._of(self.schedule))
        super().__post_init__()


@dataclass(frozen=True)
class Inputs(_Part):
    """What an on-demand view computes with: references, and values of the request by type."""

    features: Sequence[str] | None = None
    request: Mapping[str, str] | None = None


@dataclass(frozen=True)
class OnDemandFeatureView(Definition):
    """Features that are computed at the request; each has ``sql`` over the inputs."""

    kind = "OnDemandFeatureView"
    name: str
    _: KW_ONLY
    inputs: Inputs
    features: Sequence[Feature]
    version: str | None = None
    based_on: str | None = None
    description: str | None = None
    owner: str | None = None
    tags: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        _become(self, "inputs", Inputs._of(self.inputs))
        _become(self, "features", [Feature._of(each) for each in self.features])
        super().__post_init__()


@dataclass(frozen=True)
class FeatureService(Definition):
    """What one model reads: references as ``view:feature``, ``view@1.0.0:feature``, ``view:*``."""

    kind = "FeatureService"
    name: str
    _: KW_ONLY
    features: Sequence[str]
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
        return KINDS[kind]._of(body)
    except TypeError as exc:  # a required key is missing; Python's words name it
        raise Invalid(f"{kind} {body.get('name', '')!r}: {exc}") from exc


def _fields(kind: type[_Part]) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]


def _become(owner: _Part, name: str, value: Any) -> None:
    object.__setattr__(owner, name, value)


def _plain(value: Any) -> Any:
    if isinstance(value, _Part):
        return value.to_dict()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return plain(value)
