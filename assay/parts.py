"""What definitions are made of, as Python objects: join keys, times, features, aggregations.
Not for the definitions themselves; see objects.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal, TypeAlias, TypeVar

from assay.encoding import described, plain
from assay.errors import Invalid
from assay.shapes import JSON

Duration: TypeAlias = "str | timedelta"
Instant: TypeAlias = "str | date | datetime"
Sensitivity: TypeAlias = Literal["public", "internal", "confidential", "restricted"]
Unit: TypeAlias = Literal["timestamp", "s", "ms", "us", "ns"]
#: ``sum`` or, with parameters, ``{"function": "last_k", "k": 10}``.
Function: TypeAlias = "str | Mapping[str, Any]"
Part = TypeVar("Part", bound="DefinitionPart")


class DefinitionPart:
    """What an object is made of; fields that are None are left out, lists become tuples."""

    def __post_init__(self) -> None:
        for name in fields_of(type(self)):
            if isinstance(value := getattr(self, name), list):
                become(self, name, tuple(value))

    def to_dict(self) -> JSON:
        """Give the keys and values as a definition has them."""
        return {
            name: _plain(value)
            for name in fields_of(type(self))
            if (value := getattr(self, name)) is not None
        }

    @classmethod
    def of(cls: type[Part], said: Any) -> Part:
        if isinstance(said, cls):
            return said
        names = fields_of(cls)
        if not isinstance(said, Mapping):
            raise Invalid(
                f"{described(said)} is no {cls.__name__}; write {cls.__name__}(…) or a dict,"
                f" with {', '.join(names)}"
            )
        if unknown := sorted(set(said) - set(names)):
            raise Invalid(f"{cls.__name__} has no key {unknown[0]!r}; it has {', '.join(names)}")
        return cls(**said)


@dataclass(frozen=True)
class JoinKey(DefinitionPart):
    """One column that identifies an entity: its exact name in sources, and its type.

    ``type`` is ``bool``, ``int32``, ``int64``, ``string``, ``bytes``, ``timestamp`` or ``date``.
    """

    name: str
    type: str


@dataclass(frozen=True)
class TimeColumn(DefinitionPart):
    """A column that holds an instant; of numbers, ``unit`` is what they count since 1970."""

    column: str
    unit: Unit | None = None


@dataclass(frozen=True)
class Schedule(DefinitionPart):
    """When a view is due: ``every`` ("1h", at whole multiples since 1970) or ``cron``, in UTC."""

    every: Duration | None = None
    cron: str | None = None


@dataclass(frozen=True)
class Aggregation(DefinitionPart):
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
class Python(DefinitionPart):
    """A function that makes each row's features: ``package.module:function``.

    It is given the ``columns`` it needs, without them all of the source's.
    """

    function: str
    columns: Sequence[str] | None = None


@dataclass(frozen=True)
class ViewRead(DefinitionPart):
    """Features of another view, beside each row as of its time: ``view:feature`` in ``features``.

    ``on`` has those of its join keys that the source calls otherwise, as ``{theirs: ours}``. The
    view's ``sql`` calls a feature ``name.feature``; left out, ``name`` is the other view's.
    """

    features: Sequence[str]
    on: Mapping[str, str] | None = None
    name: str | None = None


@dataclass(frozen=True)
class SourceJoin(DefinitionPart):
    """A further source of a view, whose columns its ``sql`` reaches as ``name.column``.

    ``on`` has the columns that are equal: their names, where both sources have them so, or
    ``{theirs: ours}``. Rows older than ``ttl`` at the row's event time are not found.
    """

    name: str
    on: Sequence[str] | Mapping[str, str]
    _: KW_ONLY
    ttl: Duration | None = None


@dataclass(frozen=True)
class Feature(DefinitionPart):
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
    unit: str | None = None
    sensitivity: Sensitivity | None = None
    checks: Mapping[str, Any] | None = None
    mask: str | Mapping[str, Any] | None = None
    encode: Mapping[str, Any] | None = None
    sql: str | None = None


@dataclass(frozen=True)
class Inputs(DefinitionPart):
    """What an on-demand view computes with: references, and values of the request by type."""

    features: Sequence[str] | None = None
    request: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Write(DefinitionPart):
    """Where an on-demand view is written as rows arrive, and by the keys of which entities."""

    source: str
    entities: Sequence[str]
    ttl: Duration | None = None


def fields_of(kind: type[DefinitionPart]) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]


def become(owner: DefinitionPart, name: str, value: Any) -> None:
    object.__setattr__(owner, name, value)


def _plain(value: Any) -> Any:
    if isinstance(value, DefinitionPart):
        return value.to_dict()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return plain(value)
