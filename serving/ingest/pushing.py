"""Rows that are sent to a push source, or to one view: read, judged, and taken in one step.

Not for HTTP (``api``) or for how rows are taken (``materialization.ingest``).
"""

from __future__ import annotations

import hashlib
from functools import partial as called_with
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from lib.errors import Conflict, Invalid
from lib.instants import timestamp
from materialization.edges.stores import push_log
from materialization.ingest.refusals import RowsRefused
from materialization.ingest.taking import NO_ROOM, Sent, TooManyEvents, judge, take
from materialization.ingest.targets import targets_of_source, targets_of_view
from materialization.stores.push_command import Once
from materialization.stores.push_log import SeenNoMore, remembered_key
from registry import access
from registry.accounts.token_uses import note_uses
from registry.authentication import TokenExpired, digest
from registry.scopes import require_from
from registry.spec.value_types import parse_type
from serving.ingest.plans import PLANS, PushQuestion
from serving.ingest.reading import Reading, refuse_unknown
from serving.ingest.references import meant_by
from serving.ingest.request import BOTH, PushRequest, count_rows
from serving.ingest.values import with_instants
from serving.ingest.watching import note_push
from serving.online.plans import ProjectChanging

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from django.contrib.auth.models import User

    from materialization.ingest.taking import Judged
    from materialization.ingest.targets import Target
    from materialization.stores.push_command import Seen
    from serving.ingest.limits import PushLimits
    from serving.ingest.request import Columns, WriteRequest

#: What Feast's clients call the times of rows that they write to a view.
_EVENT, _CREATED = "event_timestamp", "created"
#: What of an answer is kept for the same call, should it come again.
_KEPT = ("rows", "taken", "refused_count", "left_out", "waiting", "received_at")


class WindowsNotWritten(Conflict):
    code = "windows_not_written"


class KeyReused(Conflict):
    code = "idempotency_key_reused"


class FeaturesAreMade(Invalid):
    code = "features_are_made"


#: Entities, of those that have no room, that one push is taken without.
MOST_FULL = 20
#: How often a plan is made anew when the project changes under one push.
ATTEMPTS = 5


class Caller(NamedTuple):
    """Who pushes to which project, and what makes a call that they repeat count once."""

    user_id: int
    project: str
    key: str | None
    body: bytes


class Asked(NamedTuple):
    """A push as it came with a token: who sent it is not known yet."""

    project: str
    token: str
    key: str | None
    body: bytes
    environ: Mapping[str, Any]


def push_at_once(
    asked: Asked, request: PushRequest | WriteRequest, *, limits: PushLimits, at: datetime
) -> dict[str, Any]:
    """Take rows by a plan: of whoever has one nothing is asked but Redis, once.

    What this refuses, ``push`` and ``write`` may not: a plan may be older than the last change.

    :raises Unavailable: nothing was taken, or nobody knows.
    """
    began, question = perf_counter(), _question(asked, request)
    plan = PLANS.find(question, at=at)
    for _ in range(ATTEMPTS):
        if plan is None:
            plan = PLANS.make(question, token=asked.token, at=at, environ=asked.environ)
        require_from(plan.networks, asked.environ)
        if at >= plan.expires_at:
            raise TokenExpired(f"the token expired at {plan.expires_at:%Y-%m-%dT%H:%M:%SZ}.")
        caller = Caller(plan.user_id, asked.project, asked.key, asked.body)
        try:
            answer = _sent(caller, request, plan.targets, limits, at, seen=plan.seen)
        except SeenNoMore:
            plan = None
            continue
        note_uses({plan.token_id: at})
        _note(caller, answer, perf_counter() - began)
        return answer
    raise ProjectChanging(f"project {asked.project} keeps changing. Ask again.")


def _question(asked: Asked, request: PushRequest | WriteRequest) -> PushQuestion:
    known = digest(asked.token)
    if isinstance(request, PushRequest):
        return PushQuestion(asked.project, known, source=request.push_source_name)
    return PushQuestion(asked.project, known, view=request.feature_view_name)


def push(
    user: User,
    caller: Caller,
    request: PushRequest | WriteRequest,
    *,
    limits: PushLimits,
    at: datetime,
) -> dict[str, Any]:
    """Take rows for every served version that reads a push source, or that of a view is meant.

    :raises ActionNotPermitted: the user may not push to one of them.
    """
    began, rights = perf_counter(), access.Rights(user)
    project = access.load_project(rights, caller.project)
    if (before := _repeated(caller)) is not None:
        return before
    if isinstance(request, PushRequest):
        targets = targets_of_source(request.push_source_name, project, rights)
    else:
        view, is_meant = meant_by(request.feature_view_name)
        targets = targets_of_view(view, project, rights, is_meant=is_meant)
    try:
        answer = _sent(caller, request, targets, limits, at)
    except RowsRefused as exc:
        versions = [version for target in targets for version in target.versions]
        refused = {"taken": 0, "refused_count": exc.data["refused_count"]}
        _note(caller, refused | {"feature_views": versions}, perf_counter() - began)
        raise
    _note(caller, answer, perf_counter() - began)
    return answer


def _note(caller: Caller, answer: dict[str, Any], seconds: float) -> None:
    if "repeated" not in answer:
        note_push(
            caller.user_id,
            caller.project,
            answer["feature_views"],
            taken=answer["taken"],
            refused=answer["refused_count"],
            seconds=seconds,
        )


def _sent(
    caller: Caller,
    request: PushRequest | WriteRequest,
    targets: Sequence[Target],
    limits: PushLimits,
    at: datetime,
    seen: Seen | None = None,
) -> dict[str, Any]:
    """Take rows with the columns of a source, or with the features of views."""
    df = request.df
    if isinstance(request, PushRequest):
        names = [{name: name for name in target.source.schema} for target in targets]
    else:
        _refuse_windows(targets)
        _refuse_made(targets)
        names = [_written_names(target) for target in targets]
        df = _as_feast_writes(df, targets)
    return _take(caller, df, targets, names, request.partial, limits, at, seen)


def _refuse_windows(targets: Sequence[Target]) -> None:
    """:raises WindowsNotWritten: a version's values are made of rows, at each read."""
    for target in targets:
        if target.spec.stores_events_only:
            raise WindowsNotWritten(
                f"{target.versions[0]} has windows over the rows of {target.source.name!r}, which"
                " are computed at each read: nothing can be written to them. Push rows to the"
                " source.",
                version=target.versions[0],
                push_source_name=target.source.name,
            )


def _refuse_made(targets: Sequence[Target]) -> None:
    """:raises FeaturesAreMade: features that are written would go past what makes them."""
    for target in targets:
        if target.spec.makes_rows:
            source = target.source.name
            raise FeaturesAreMade(
                f"{target.versions[0]} makes its features of the columns of {source!r}, by its"
                f" {', '.join(_makers(target))}: push rows to {source!r}, with those columns."
            )


def _makers(target: Target) -> list[str]:
    spec = target.spec
    beside = {"masks": spec.has_masks, "encodings": spec.has_encodings}
    return [*spec.makers, *(word for word, has in beside.items() if has)]


def _as_feast_writes(df: Columns, targets: Sequence[Target]) -> Columns:
    """Return columns with instants where Feast's clients write features as seconds."""
    kinds = {
        each.name: parse_type(each.type) for target in targets for each in target.spec.features
    }
    return {
        name: list(with_instants(values, kinds[name])) if name in kinds else values
        for name, values in df.items()
    }


def _written_names(target: Target) -> dict[str, str]:
    """Return what each column of the source is called by whoever writes features."""
    source = target.source
    names = {key.name: key.name for key in target.spec.join_keys}
    names[source.event_timestamp.column] = _EVENT
    if source.created_timestamp is not None:
        names[source.created_timestamp.column] = _CREATED
    return names | {each.source_column: each.name for each in target.spec.features}


def _take(
    caller: Caller,
    df: Columns,
    targets: Sequence[Target],
    names: Sequence[Mapping[str, str]],
    partial: bool,  # noqa: FBT001 - as the request says it
    limits: PushLimits,
    at: datetime,
    seen: Seen | None,
) -> dict[str, Any]:
    rows = count_rows(df, most=limits.rows)
    refuse_unknown(df, names)
    reading = Reading(df, rows)
    sent = [
        Sent(target, reading.batch(target, called))
        for target, called in zip(targets, names, strict=True)
    ]
    full = 0
    while True:
        judged = judge(sent, reading.refusals, partial_ok=partial, at=at)
        answer = _answer(judged, rows, targets, at)
        try:
            once = _once(caller, answer)
            before = take(judged, at=at, once=once, most=limits.waiting, seen=seen)
        except TooManyEvents as exc:
            full += 1
            if not partial or full > MOST_FULL:
                raise
            columns, values = ", ".join(exc.entity), ", ".join(exc.entity.values())
            for place in exc.places:
                reading.refusals.add(place, columns, called_with(str, values), NO_ROOM)
            continue
        return answer if before is None else _answered_before(before, caller)


def _answer(judged: Judged, rows: int, targets: Sequence[Target], at: datetime) -> dict[str, Any]:
    return {
        "rows": rows,
        "taken": judged.taken,
        "refused_count": rows - judged.taken,
        "refused": judged.refusals.to_json(),
        "left_out": judged.left_out,
        "waiting": judged.waiting,
        "feature_views": [version for target in targets for version in target.versions],
        "to": BOTH,
        "received_at": timestamp(at),
    }


def _once(caller: Caller, answer: dict[str, Any]) -> Once | None:
    """Return what is kept of an answer for a day: counts and the time, and no row."""
    if caller.key is None:
        return None
    kept = {name: answer[name] for name in _KEPT}
    return Once(_key(caller, caller.key), msgspec.json.encode([_digest(caller.body), kept]))


def _key(caller: Caller, key: str) -> bytes:
    return remembered_key(caller.project, str(caller.user_id), key)


def _repeated(caller: Caller) -> dict[str, Any] | None:
    """Return what the call was answered before, whatever it would be answered by now."""
    before = push_log().answered(_key(caller, caller.key)) if caller.key is not None else None
    return None if before is None else _answered_before(before, caller)


def _answered_before(before: bytes, caller: Caller) -> dict[str, Any]:
    digest, kept = msgspec.json.decode(before)
    if digest != _digest(caller.body):
        raise KeyReused(
            "the Idempotency-Key was sent with other rows before; nothing was taken. Send each"
            " batch with a key of its own, and the same one only to repeat it."
        )
    return {**kept, "refused": [], "feature_views": [], "to": BOTH, "repeated": True}


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
