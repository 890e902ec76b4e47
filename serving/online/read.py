"""Online features: the newest values of many entities in one round trip to the online store.

Not for HTTP or JSON. While its plan holds, a question asks the store once and the database never.
"""

from __future__ import annotations

from time import perf_counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from lib.errors import AssayError, Invalid, TooLarge, Unavailable
from lib.instants import to_us
from materialization.edges import online_store
from registry.authentication import TokenExpired, digest
from registry.scopes import require_from
from serving import values
from serving.freshness import freshness_json, overdue_words
from serving.online.plan_cache import PLANS, KeptPlan
from serving.online.plans import Question, ReadPlan
from serving.online.rows import AnswerColumn, TableRows, key_column
from serving.online.watching import note_answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from materialization.stores.online_protocol import OnlineRows
    from serving.limits import ReadLimits
    from serving.online.request import OnlineRequest

#: How often a plan is made anew when the project changes under one question.
ATTEMPTS = 5

#: Of a question that no request brought: a token that is limited to networks is refused.
NOWHERE: Mapping[str, Any] = MappingProxyType({})

Entities = dict[str, list[Any]]


class TooManyEntityRows(TooLarge):
    code = "too_many_entity_rows"


class UnequalLengths(Invalid):
    code = "unequal_lengths"


class UnknownEntityColumn(Invalid):
    code = "unknown_entity_column"


class MissingJoinKey(Invalid):
    code = "missing_join_key"


class NotLoaded(Unavailable):
    code = "not_loaded"


class ProjectChanging(Unavailable):
    code = "project_changing"


class PlanOutdated(Exception):
    """The plan is of other epochs than the values; made anew, it answers."""


class OnlineAnswer(NamedTuple):
    """Columns, names and declared types, keys first; ``feature_views`` is None unless asked for."""

    names: list[str]
    types: list[str]
    columns: list[AnswerColumn]
    feature_views: tuple[dict[str, Any], ...] | None
    warnings: tuple[str, ...]


def get_online_features(
    *,
    project: str,
    token: str,
    request: OnlineRequest,
    at: datetime,
    limits: ReadLimits,
    environ: Mapping[str, Any] = NOWHERE,
) -> OnlineAnswer:
    """Answer a request as of ``at``: one value a feature and entity row, order and duplicates kept.

    ``environ`` is the request's WSGI environment: a token may be limited to networks.
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
    columns, covered, plan = _answer(question, token, request.entities, at, environ)
    note_answer(perf_counter() - began, plan, columns[len(request.entities) :])
    views = None
    if request.include_feature_view_version_metadata:
        views = tuple(_views(plan, covered, at))
    warnings = (*plan.warnings, *_overdue(plan, covered, at))
    keys = {key.name: str(key.type) for key in plan.keys}
    types = [*(keys[name] for name in request.entities), *plan.types]
    return OnlineAnswer([*request.entities, *plan.names], types, columns, views, warnings)


def require_rectangle(entities: Entities, max_rows: int) -> None:
    """Return if all columns have one length, of ``max_rows`` at most.

    :raises UnequalLengths: naming each column and its length.
    :raises TooManyEntityRows: naming the limit.
    """
    lengths = {name: len(column) for name, column in entities.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise UnequalLengths(
            f"entity columns differ in length: {shown}. Send one value a row.", lengths=lengths
        )
    rows = max(lengths.values(), default=0)
    if rows > max_rows:
        raise TooManyEntityRows(
            f"{rows} entity rows; one call takes at most {max_rows} (ONLINE_MAX_ENTITY_ROWS)."
            " Send several, or ask get-historical-features.",
            rows=rows,
            limit=max_rows,
        )


def _answer(
    question: Question, token: str, entities: Entities, at: datetime, environ: Mapping[str, Any]
) -> tuple[list[AnswerColumn], list[datetime], ReadPlan]:
    kept, is_ours = PLANS.find(question, at=at), False
    for _ in range(1 + ATTEMPTS):
        if kept is not None:
            require_from(kept.read.networks, environ)
            try:
                return *_read(kept, entities, at, fresh=is_ours), kept.read
            except PlanOutdated:
                pass
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


def _read(
    kept: KeptPlan, entities: Entities, at: datetime, *, fresh: bool
) -> tuple[list[AnswerColumn], list[datetime]]:
    """Fetch epochs and rows at once; a plan just made needs the same epochs only.

    Returns the columns and, of each table, up to when it was covered when it was loaded.
    """
    plan = kept.read
    if at >= plan.expires_at:
        raise TokenExpired(f"the token expired at {plan.expires_at:%Y-%m-%dT%H:%M:%SZ}.")
    if at >= plan.granted_until:
        raise PlanOutdated  # another grant may reach further; else the next names what lacks one
    rows = max(map(len, entities.values()), default=0)
    plan.limits.check_values(rows, len(plan.columns))
    typed = _typed_keys(plan, entities)
    tags = [entity.tags([typed[column] for column in columns]) for entity, columns in plan.entities]
    asked = [(table.layout, tags[table.entity]) for table in plan.tables]
    found = online_store().read(plan.project_id, plan.views, asked)
    if not (found.epochs == kept.epochs if fresh else kept.holds(found)):
        raise PlanOutdated
    columns = [*_key_columns(plan, entities, typed), *_feature_columns(plan, found, at)]
    return columns, [stored.as_of for stored in found.tables if stored is not None]


def _typed_keys(plan: ReadPlan, entities: Entities) -> list[list[Any]]:
    """Return each of the plan's key columns, typed.

    :raises MissingJoinKey, UnknownEntityColumn, BadKeyValue: naming column and view.
    """
    for key in plan.keys:
        if key.name not in entities:
            raise MissingJoinKey(
                f"feature view {key.view} needs the entity column {key.name!r} ({key.type});"
                f" the request has {', '.join(entities) or 'none'}.",
                column=key.name,
                feature_view=key.view,
            )
    if unknown := entities.keys() - {key.name for key in plan.keys}:
        name, known = min(unknown), ", ".join(repr(key.name) for key in plan.keys)
        raise UnknownEntityColumn(
            f"no requested feature view has the join key {name!r}; theirs are {known}.", column=name
        )
    return [values.parse_keys(entities[key.name], key.type, name=key.name) for key in plan.keys]


def _key_columns(plan: ReadPlan, entities: Entities, typed: list[list[Any]]) -> list[AnswerColumn]:
    """Return the join keys as they were understood, in the order of the request."""
    understood = {}
    for key, column in zip(plan.keys, typed, strict=True):
        encode = values.encoder(key.type)
        understood[key.name] = column if encode is None else [encode(value) for value in column]
    return [key_column(understood[name]) for name in entities]


def _feature_columns(plan: ReadPlan, found: OnlineRows, at: datetime) -> list[AnswerColumn]:
    """:raises NotLoaded: naming the first version whose table is not."""
    now = to_us(at)
    tables = []
    for table, stored in zip(plan.tables, found.tables, strict=True):
        if stored is None or stored.generation < table.generation:
            raise NotLoaded(
                f"{table.version} is not loaded into the online store now. The next sweep loads it;"
                " see its runs, or request a materialization.",
                version=table.version,
            )
        oldest = None if table.ttl_micros is None else now - table.ttl_micros
        tables.append(TableRows(stored.rows, width=table.layout.width, oldest_micros=oldest))
    return [tables[column.table].column(column) for column in plan.columns]


def _views(plan: ReadPlan, covered: list[datetime], at: datetime) -> Iterator[dict[str, Any]]:
    """Yield each version that was read, with how old it is."""
    for view, table, until in zip(plan.feature_views, plan.tables, covered, strict=True):
        yield view | {"freshness": freshness_json(table.promise_text, until, at)}


def _overdue(plan: ReadPlan, covered: list[datetime], at: datetime) -> Iterator[str]:
    for table, until in zip(plan.tables, covered, strict=True):
        if table.promise is not None and at - until > table.promise:
            yield overdue_words(table.version, table.promise_text, until)
