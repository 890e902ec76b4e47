"""Read plans: who may ask, which tables answer, where each feature lies. Made from the registry.

Not for keeping plans (``plan_cache``) or for answering with them (``read``): a plan is data.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from lib.errors import Unavailable
from materialization.stores.events import EventLayout
from materialization.stores.layout import EntityKey, TableLayout
from materialization.transforms.windows.arguments import WindowArguments
from materialization.transforms.windows.encoding import WindowEncoding
from serving.on_demand.rows import ComputedColumn
from serving.online.sensitive_reads import SensitiveRead
from serving.usage.noting import Reading
from serving.usage.sampling import Sampling
from serving.values import KeyColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from registry.deprecation import Deprecation
    from registry.scopes import Networks
    from registry.spec.references import Reference
    from serving.limits import ReadLimits


class ProjectChanging(Unavailable):
    code = "project_changing"


class Question(NamedTuple):
    """What of a request decides its plan: who, in which project, which features or service."""

    project: str
    token_digest: str
    features: tuple[str, ...]
    feature_service: str | None
    full_feature_names: bool
    limits: ReadLimits
    #: The view whose entities the answer tells; empty where the request names them.
    tells_keys_of: str = ""


class EntityRead(NamedTuple):
    """One entity and where among the plan's keys its columns are, in the order of its names."""

    entity: EntityKey
    columns: tuple[int, ...]


class ReadWindows(NamedTuple):
    """How the events lie that windows are made of, what is made of them, and of that."""

    layout: EventLayout
    made_of: WindowArguments
    encodings: tuple[WindowEncoding, ...] = ()


class TableRead(NamedTuple):
    """One FeatureTable as one version serves it; ``entity`` is the index of its entity.

    ``generation`` is the load that the registry knows of: an older one is not all there is.
    """

    version: str
    layout: TableLayout
    entity: int
    ttl_micros: int | None
    generation: int
    #: How old it promises to be at most, and in the definition's words; None: no promise.
    promise: timedelta | None
    promise_text: str
    #: Rows are there when they were sent: it is as of each read.
    is_pushed: bool
    #: What its values are computed of at each read; None: they are stored.
    windows: ReadWindows | None = None

    @property
    def read_layout(self) -> TableLayout | EventLayout:
        """How what is read for it lies in the store."""
        return self.layout if self.windows is None else self.windows.layout


class FeatureColumn(NamedTuple):
    """One column of the answer: where in which table; ``to_json`` is None for plain values."""

    table: int
    position: int
    to_json: Callable[[Any], Any] | None
    type: str
    version: str

    @property
    def timed_by(self) -> str:
        """What its event times are of."""
        return self.version


class Run(NamedTuple):
    """Columns of one table that stand side by side in the answer."""

    table: int
    columns: tuple[FeatureColumn, ...]


def runs_of(columns: Iterable[FeatureColumn | ComputedColumn]) -> tuple[Run | ComputedColumn, ...]:
    """Return the columns in their order, those of one table that stand side by side as one."""
    found: list[Run | ComputedColumn] = []
    for table, side_by_side in groupby(columns, key=lambda each: getattr(each, "table", None)):
        if table is None:  # computed, of any tables
            found += cast("list[ComputedColumn]", list(side_by_side))
        else:
            found.append(Run(table, tuple(cast("list[FeatureColumn]", list(side_by_side)))))
    return tuple(found)


class Stretch(NamedTuple):
    """Columns of one version that stand side by side in the answer, from ``start`` to ``end``."""

    version: str
    start: int
    end: int


def stretches_of(columns: Iterable[FeatureColumn | ComputedColumn]) -> tuple[Stretch, ...]:
    found, start = [], 0
    for version, side_by_side in groupby(columns, key=lambda each: each.version):
        end = start + len(list(side_by_side))
        found.append(Stretch(version, start, end))
        start = end
    return tuple(found)


class ReadPlan(NamedTuple):
    """Everything an answer needs but the values and the time."""

    project_id: int
    project: str
    #: Of the token: noted as used, and where it may be used from.
    token_id: int
    networks: Networks
    #: The views whose facts it holds.
    views: tuple[str, ...]
    expires_at: datetime
    #: Until when the grants of its reader reach that it needs.
    granted_until: datetime
    keys: tuple[KeyColumn, ...]
    entities: tuple[EntityRead, ...]
    tables: tuple[TableRead, ...]
    columns: tuple[FeatureColumn | ComputedColumn, ...]
    #: What the request has to bring beside its keys.
    request: tuple[KeyColumn, ...]
    names: tuple[str, ...]
    #: The declared type of each name, as in ``decimal(10,2)``.
    types: tuple[str, ...]
    #: Of each table, in their order; and of the versions that are computed from them.
    feature_views: tuple[dict[str, Any], ...]
    computed_views: tuple[dict[str, Any], ...]
    warnings: tuple[str, ...]
    limits: ReadLimits
    #: What of it is deprecated, as its readers are told.
    deprecation: Deprecation
    #: Who reads what by it: noted of every read.
    reading: Reading
    #: What ``entities`` has to name, join keys first, and the type of each.
    entity_columns: Mapping[str, str]
    #: ``columns`` as they are read, and as they are counted.
    runs: tuple[Run | ComputedColumn, ...]
    stretches: tuple[Stretch, ...]
    #: Which of its values are kept of some reads; None: of none.
    sampling: Sampling | None = None
    #: What of it is sensitive, a version each: whoever reads that is in the trail.
    sensitive: tuple[SensitiveRead, ...] = ()
    #: What each name is the value of.
    references: tuple[Reference, ...] = ()
    #: What each counts; empty where its definition does not say.
    units: tuple[str, ...] = ()
    #: How the service that was asked for is told in a prompt; None: name by name.
    context: str | None = None

    def ttl_micros(self, place: int) -> int | None:
        """Return the TTL of a column; None where nothing expires, and of what is computed."""
        column = self.columns[place]
        return self.tables[column.table].ttl_micros if isinstance(column, FeatureColumn) else None
