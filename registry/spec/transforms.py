"""The ways in which a view makes its rows: a tagged union, one class a kind. [pure]

Not for computing them (``materialization.transforms`` has a module a kind) or for judging what is
written (``reading.rules``). In a definition the kind is the key that is there: ``sql``,
``python``, ``aggregations``, ``inputs``, or none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from msgspec.structs import replace

from registry.choices import Accuracy
from registry.spec.aggregations import (
    AggregationSpec,
)  # noqa: TC001 - msgspec reads the annotations
from registry.spec.base import Spec
from registry.spec.durations import parse_duration
from registry.spec.on_demand import OnDemandInputs  # noqa: TC001 - as above
from registry.spec.python_code import PythonCall  # noqa: TC001 - as above
from registry.spec.row_sql import check_expression, check_row_sql, columns_read, columns_under

if TYPE_CHECKING:
    from registry.spec.model import FeatureViewSpec, ScheduleSpec


class Transform(Spec, frozen=True):
    """What every kind says of itself; a new kind changes what is not so for it."""

    #: The key of a view that asks for it; None for the kind that needs none.
    key: ClassVar[str | None] = None
    #: What a reviewer reads when it is not the one of the version before.
    changed: ClassVar[str] = ""
    #: Its rows are the ticks of the schedule. Each continues from the stored one before it, so its
    #: windows follow each other without a gap, and schedule and TTL decide which rows there are.
    makes_ticks: ClassVar[bool] = False
    #: Online are events, and each read makes its windows of them.
    has_windows_online: ClassVar[bool] = False
    #: Keys and times are columns of the source, under the names the definition has for them.
    reads_keys: ClassVar[bool] = True
    #: Its rows come from a source and lie in a table; else its values are made at the request.
    is_stored: ClassVar[bool] = True
    #: Expressions of its author's choose its rows or make its values: whether there is a row, or a
    #: null, answers any question about the source. So do a view's conditions (``view.asks``).
    asks: ClassVar[bool] = False
    #: What computes it is installed beside us, and may be another by now though nobody wrote so.
    is_installed: ClassVar[bool] = False

    @property
    def maker(self) -> str:
        """What makes the values that masks are laid over; empty: they are the source's columns."""
        return ""

    @classmethod
    def of(cls, view: FeatureViewSpec) -> Self | None:
        """Return the transform as ``view`` asks for it; None when it asks for another."""
        given = getattr(view, cls.key) if cls.key else None
        return cls(given) if given else None

    def source_columns(self, view: FeatureViewSpec) -> tuple[str, ...] | None:
        """Return the columns the features are made of, join keys and times aside; None: all."""
        return tuple(column for feature in view.features for column in feature.columns_read)

    def canonical(self, source: str) -> Self:
        """Return it as it is stored: written anew where users wrote text.

        :raises BadSql: what is written may not be run.
        """
        return self

    def decides(self, view: FeatureViewSpec) -> dict[str, Any]:
        """Return what of the rest of the view decides the stored rows, because of this kind."""
        return {}


class Columns(Transform, frozen=True):
    """The source's columns as they are."""


class RowSql(Transform, frozen=True):
    """One row-wise SELECT over the source."""

    key = "sql"
    changed = "SQL changed"
    reads_keys = False
    asks = True
    sql: str

    @property
    def maker(self) -> str:
        return self.sql

    def source_columns(self, view: FeatureViewSpec) -> tuple[str, ...] | None:
        read, joined = columns_read(self.sql), [join.name for join in view.sources]
        if read is None or not joined:
            return read
        ours = (name for join in view.sources for name in join.ours)
        return tuple(dict.fromkeys((*(name for name in read if name not in joined), *ours)))

    def canonical(self, source: str) -> Self:
        return replace(self, sql=check_row_sql(self.sql, source=source))


class Python(Transform, frozen=True):
    """A function of an installed distribution makes each row's features of that row."""

    key = "python"
    changed = "Python function changed"
    asks = True
    is_installed = True
    python: PythonCall

    @property
    def maker(self) -> str:
        return self.python.function

    def source_columns(self, view: FeatureViewSpec) -> tuple[str, ...] | None:
        return self.python.columns or None


class Aggregations(Transform, frozen=True):
    """Rolling windows at the ticks of the schedule."""

    key = "aggregations"
    changed = "aggregations changed"
    makes_ticks = True
    aggregations: tuple[AggregationSpec, ...]

    @classmethod
    def of(cls, view: FeatureViewSpec) -> Aggregations | None:
        if not view.aggregations:
            return None
        kind = Aggregations
        if view.accuracy is Accuracy.EXACT:
            kind = LoadedWindows
        elif view.accuracy is Accuracy.TEMPORAL and view.schedule is None:
            kind = PushedWindows
        return kind(view.aggregations)

    def source_columns(self, view: FeatureViewSpec) -> tuple[str, ...]:
        conditions = (each.where for each in self.aggregations if each.where is not None)
        named = (column for where in conditions for column in columns_under(where))
        columns = (aggregation.column for aggregation in self.aggregations)
        return tuple(dict.fromkeys((*columns, *named)))

    def canonical(self, source: str) -> Self:
        written = (
            each if each.where is None else replace(each, where=check_expression(each.where))
            for each in self.aggregations
        )
        return replace(self, aggregations=tuple(written))

    def decides(self, view: FeatureViewSpec) -> dict[str, Any]:
        """The schedule makes the ticks; the TTL says how sparsely they are stored.

        With ``accuracy: temporal`` the rows they are made of are stored beside them.
        """
        decided: dict[str, Any] = {"ticks": _ticks(view.schedule), "ttl": _seconds(view.ttl)}
        if view.accuracy is not Accuracy.SNAPSHOT:
            decided["accuracy"] = view.accuracy
        if view.expressions:
            decided["expressions"] = view.expressions
        return decided


class PushedWindows(Aggregations, frozen=True):
    """Rolling windows as of any instant: events are kept, in both stores, and no ticks."""

    makes_ticks = False
    has_windows_online = True

    def decides(self, view: FeatureViewSpec) -> dict[str, Any]:
        """Nothing makes ticks, or says how sparsely they lie."""
        decided = super().decides(view)
        return {name: said for name, said in decided.items() if name not in ("ticks", "ttl")}


class LoadedWindows(Aggregations, frozen=True):
    """Rolling windows as of any instant: runs store events and ticks, and events are online."""

    has_windows_online = True


class OnDemand(Transform, frozen=True):
    """Nothing stored: each feature is an expression over other features and the request's data."""

    key = "inputs"
    changed = "inputs changed"
    is_stored = False
    inputs: OnDemandInputs

    def source_columns(self, view: FeatureViewSpec) -> tuple[str, ...]:
        return ()

    def decides(self, view: FeatureViewSpec) -> dict[str, Any]:
        return {"expressions": view.expressions}


#: Every kind that a key of the view asks for, in the order in which they are looked for.
KEYED: tuple[type[Transform], ...] = (RowSql, Python, Aggregations, OnDemand)


def asked_for(view: FeatureViewSpec) -> list[Transform]:
    """Return each transform that a view asks for; the rules allow one at most."""
    return [made for kind in KEYED if (made := kind.of(view)) is not None]


def transform_of(view: FeatureViewSpec) -> Transform:
    return next(iter(asked_for(view)), Columns())


def _ticks(schedule: ScheduleSpec | None) -> str | float | None:
    """Return what decides the ticks: `60m` and `1h` are the same ones."""
    return (schedule.cron or _seconds(schedule.every)) if schedule else None


def _seconds(duration: str | None) -> float | None:
    return parse_duration(duration).total_seconds() if duration else None
