"""Online features: the newest values of many entities in one round trip to the online store.

Not for HTTP or JSON. While its plan holds, a question asks the store once and the database never.
"""

from __future__ import annotations

from time import perf_counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from lib.errors import AssayError, Unavailable
from lib.instants import to_us
from materialization.edges.stores import online_store
from materialization.stores.online_protocol import RowsUnreadable
from registry.authentication import TokenExpired, digest
from registry.scopes import require_from
from serving.choices import Door
from serving.freshness import freshness_json, overdue_words
from serving.on_demand.feature import lacking_words
from serving.on_demand.rows import computed, request_values
from serving.online.entities import entity_columns, require_entities, require_rectangle, typed
from serving.online.plan_cache import PLANS, KeptPlan
from serving.online.plans import ProjectChanging, Question, ReadPlan, Run
from serving.online.rows import AnswerColumn, TableRows
from serving.online.watching import note_answer
from serving.online.windows import window_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from materialization.stores.online_protocol import OnlineRows, StoredRows
    from serving.limits import ReadLimits
    from serving.online.plans import TableRead
    from serving.online.request import OnlineRequest

Answer = TypeVar("Answer")
#: How often a plan is made anew when the project changes under one question.
ATTEMPTS = 5

#: Of a question that no request brought: a token that is limited to networks is refused.
NOWHERE: Mapping[str, Any] = MappingProxyType({})


class NotLoaded(Unavailable):
    code = "not_loaded"


class PlanOutdated(Exception):
    """The plan is of other epochs than the values; made anew, it answers."""


class OnlineAnswer(NamedTuple):
    """Columns, names and declared types, keys first; ``feature_views`` is None unless asked for.

    ``plan`` is what answered: of each feature where it comes from and when it is too old.
    """

    names: list[str]
    types: list[str]
    columns: list[AnswerColumn]
    feature_views: tuple[dict[str, Any], ...] | None
    warnings: tuple[str, ...]
    plan: ReadPlan


def get_online_features(
    *,
    project: str,
    token: str,
    request: OnlineRequest,
    at: datetime,
    limits: ReadLimits,
    environ: Mapping[str, Any] = NOWHERE,
    stored: bool = False,
    door: Door = Door.ONLINE,
) -> OnlineAnswer:
    """Answer a request as of ``at``: one value a feature and entity row, order and duplicates kept.

    ``environ`` is the request's WSGI environment: a token may be limited to networks. ``stored``:
    the columns are as they are stored, not ready for JSON.
    :raises Unauthenticated, Forbidden, NotFound: who asks, or what they ask for; from the first
        request after a change on.
    :raises Invalid, TooLarge: what is wrong with the entities, or over ``limits``.
    :raises NotLoaded: a version's values are not in the store; never answered as NOT_FOUND.
    """
    began = perf_counter()
    limits.check_columns(len(request.entities))
    require_rectangle(request.entities, limits.rows)
    features = tuple(request.features or ())
    limits.check_features(len(features))
    question = Question(
        project,
        digest(token),
        features,
        request.feature_service,
        request.full_feature_names,
        limits,
    )

    def read(kept: KeptPlan, fresh: bool) -> _Found:  # noqa: FBT001
        return _read(kept, request, at, fresh=fresh, stored=stored)

    found, plan = answered(question, token=token, at=at, environ=environ, read=read)
    columns, covered = found.columns, found.covered
    rows, seconds = len(columns[0].values) if columns else 0, perf_counter() - began
    read_columns = columns[len(request.entities) :]
    note_answer(seconds, plan, read_columns, rows=rows, door=door, is_stored=stored)
    views = None
    if request.include_feature_view_version_metadata:
        views = tuple(_views(plan, covered, at))
    warnings = (*plan.warnings, *overdue(plan, covered, at), *found.warnings)
    types = [*[plan.entity_columns[name] for name in request.entities], *plan.types]
    return OnlineAnswer([*request.entities, *plan.names], types, columns, views, warnings, plan)


def answered(
    question: Question,
    *,
    token: str,
    at: datetime,
    environ: Mapping[str, Any],
    read: Callable[[KeptPlan, bool], Answer],
) -> tuple[Answer, ReadPlan]:
    """Return what ``read`` makes of a plan that holds, and that plan.

    ``read`` is told the plan and whether it was made for this question. It asks the store for the
    plan's epochs and its values at once, and begins with ``require_current``.
    :raises AssayError: whatever ``read`` refuses under a plan that holds; who may not ask.
    """
    kept, is_ours = PLANS.find(question, at=at), False
    for _ in range(1 + ATTEMPTS):
        if kept is not None:
            require_from(kept.read.networks, environ)
            try:
                require_in_time(kept.read, at)
                return read(kept, is_ours), kept.read
            except PlanOutdated:
                pass  # made anew below; what is outdated each time is told at the end
            except Unavailable:
                raise
            except AssayError:
                # It may be right since a change: only a plan that still holds may refuse.
                if is_ours or kept.still_holds():
                    raise
        kept, is_ours = PLANS.make(question, token=token, at=at, environ=environ, instead_of=kept)
    raise ProjectChanging(
        f"project {question.project} keeps changing. Ask again.", project=question.project
    )


def require_in_time(plan: ReadPlan, at: datetime) -> None:
    """Return if the plan's token and its reader's grants reach that far.

    :raises PlanOutdated: another grant may reach further; else the next plan names what lacks one.
    """
    if at >= plan.expires_at:
        raise TokenExpired(f"the token expired at {plan.expires_at:%Y-%m-%dT%H:%M:%SZ}.")
    if at >= plan.granted_until:
        raise PlanOutdated


def require_current(kept: KeptPlan, found: OnlineRows, *, fresh: bool) -> None:
    """Return if what was read is of the plan's epochs; a plan just made needs no more than those.

    :raises PlanOutdated: a right, a version or a default is another since.
    """
    if not (found.epochs == kept.epochs if fresh else kept.holds(found)):
        raise PlanOutdated


def require_loaded(table: TableRead, its: StoredRows | None) -> StoredRows:
    """Return the rows of a table.

    :raises NotLoaded: what the store has of the table is not all there is.
    :raises RowsUnreadable: or not as it was written.
    """
    if its is None or its.generation < table.generation:
        raise NotLoaded(
            f"{table.version} is not loaded into the online store now. The next sweep loads it;"
            " see its runs, or request a materialization.",
            version=table.version,
        )
    if not its.is_readable:
        raise RowsUnreadable(table.version)
    return its


def _read(
    kept: KeptPlan, request: OnlineRequest, at: datetime, *, fresh: bool, stored: bool
) -> _Found:
    """Fetch epochs and rows at once; a plan just made needs the same epochs only."""
    plan, entities = kept.read, request.entities
    rows = len(next(iter(entities.values()), ()))
    plan.limits.check_values(rows, len(plan.columns))
    require_entities(plan, entities)
    keys = typed(plan.keys, request)
    given = typed(plan.request, request) if plan.request else []
    tags = [entity.tags([keys[column] for column in columns]) for entity, columns in plan.entities]
    asked = [(table.read_layout, tags[table.entity]) for table in plan.tables]
    found = online_store().read(plan.project_id, plan.views, asked, now=to_us(at))
    require_current(kept, found, fresh=fresh)
    own = entity_columns(plan, entities, keys, given, stored=stored)
    features = feature_columns(plan, found, given, at, rows=rows, stored=stored)
    covered = [
        at if table.is_pushed else each.as_of
        for table, each in zip(plan.tables, found.tables, strict=True)
        if each is not None
    ]
    return _Found([*own, *features.columns], covered, features.warnings)


class _Found(NamedTuple):
    """The columns and, of each table, up to when it was covered when it was loaded."""

    columns: list[AnswerColumn]
    covered: list[datetime]
    warnings: tuple[str, ...]


class FeatureColumns(NamedTuple):
    columns: list[AnswerColumn]
    warnings: tuple[str, ...]


def feature_columns(
    plan: ReadPlan,
    found: OnlineRows,
    request: list[list[Any]],
    at: datetime,
    *,
    rows: int,
    stored: bool,
) -> FeatureColumns:
    """Return the columns of a plan for rows that were found; ``request`` as ``plan.request``.

    :raises NotLoaded: naming the first version whose table is not.
    :raises RowsUnreadable: or the first with a row that is not as it was written.
    """
    now, tables = to_us(at), []
    for table, its in zip(plan.tables, found.tables, strict=True):
        its = require_loaded(table, its)
        oldest = None if table.ttl_micros is None else now - table.ttl_micros
        if table.windows is not None:
            rows_now = window_rows(table, table.windows, its.rows, now)
        else:
            rows_now = its.rows
        tables.append(TableRows(rows_now, width=table.layout.width, oldest_micros=oldest))
    given = [request_values(v, key.type) for key, v in zip(plan.request, request, strict=True)]
    columns: list[AnswerColumn] = []
    warnings = []
    for each in plan.runs:
        if isinstance(each, Run):
            try:
                columns += tables[each.table].columns(each.columns, stored=stored)
            except (OverflowError, RuntimeError) as exc:
                # An instant that no calendar has, as Python and NumPy say it.
                raise RowsUnreadable(plan.tables[each.table].version) from exc
            continue
        made = computed(each, tables, given, rows=rows, now=now, stored=stored)
        columns.append(made.column)
        if made.lacking:
            where = f"in {made.lacking} of {rows} rows"
            warnings.append(lacking_words(f"{each.version}:{each.feature.name}", where))
    return FeatureColumns(columns, tuple(warnings))


def _views(plan: ReadPlan, covered: list[datetime], at: datetime) -> Iterator[dict[str, Any]]:
    """Yield each version that was read, with how old it is."""
    for view, table, until in zip(plan.feature_views, plan.tables, covered, strict=True):
        yield view | {"freshness": freshness_json(table.promise_text, until, at)}
    for view in plan.computed_views:
        yield view | {"freshness": None}


def overdue(plan: ReadPlan, covered: list[datetime], at: datetime) -> Iterator[str]:
    """Yield words of each table that is older than it promises; ``covered`` says until when."""
    for table, until in zip(plan.tables, covered, strict=True):
        if table.promise is not None and at - until > table.promise:
            yield overdue_words(table.version, table.promise_text, until)
