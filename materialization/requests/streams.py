"""Streams as people care for them: what is not read is told, and what they ask of consumers.

Not for reading: consumers do (``serving.streams``), and note in the rows what they meet.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import F

from lib.errors import Invalid
from materialization.choices import OPEN_LETTERS, AlertKind, PartState
from materialization.models import DeadLetter, StreamPart
from materialization.quality.alerts.opening import Trouble, about_version, settle
from materialization.requests.reasons import MAX_REASON, is_kept
from materialization.streams.places import NEWEST
from registry import access, audit
from registry.choices import Right
from registry.queries import may_arrive, served_versions
from registry.spec.sources.streams import StreamSource

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User

#: What stands for the oldest record that there is.
OLDEST = None
#: For how long a consumer may be silent, or a part wait, before it is a trouble.
PATIENCE = timedelta(minutes=1)
#: Parts that an alert names before it only counts them.
_NAMED = 3


class BadPlace(Invalid):
    code = "invalid_place"


class ReasonNeeded(Invalid):
    code = "reason_needed"


def reason_given(reason: str) -> str:
    """:raises ReasonNeeded: it is none that the trail can keep."""
    said = reason.strip()
    if not is_kept(said):
        raise ReasonNeeded(f"say why, in 1 to {MAX_REASON:,} characters; the trail keeps it.")
    return said


@transaction.atomic
def read_on(
    *, part: StreamPart, place: int | None, actor: User, reason: str, at: datetime
) -> StreamPart:
    """Have a part of a stream read on from a place; ``OLDEST`` and ``NEWEST`` are two.

    What is read again is stored again; what is left out stays out.

    :raises ActionNotPermitted: the actor may not start runs of the view.
    :raises BadPlace: there can be none such. :raises ReasonNeeded: there is no reason.
    """
    view = part.table.feature_view
    access.require(actor, Right.MATERIALIZE_FEATUREVIEW, view)
    said = reason_given(reason)
    if place is not None and not NEWEST <= place < 2**62:
        raise BadPlace(f"{place} is no place of a stream; they are counted from 0.")
    before = part.place
    StreamPart.objects.filter(pk=part.pk).update(
        generation=F("generation") + 1, start=place, identity=""
    )
    part.refresh_from_db(fields=["generation", "start"])
    # What was left out is read again with all others, or left behind with them.
    DeadLetter.objects.filter(part=part, state__in=OPEN_LETTERS).delete()
    audit.record(
        actor=actor,
        verb="stream.moved",
        subject=part,
        project=view.project,
        data={"feature_view": view.name, "before": before, "place": place, "reason": said},
        at=at,
    )
    return part


def watch_streams(*, at: datetime) -> None:
    """Tell of served versions whose streams are not read, or not all of them."""
    ready = served_versions().filter(may_arrive(), table__ready_at__lt=at - PATIENCE)
    versions = [
        each for each in ready.defer("packet") if isinstance(each.spec.source, StreamSource)
    ]
    if not versions:
        settle(AlertKind.STREAM_UNREAD, {}, at=at)
        return
    parts: dict[int, list[StreamPart]] = {}
    for part in StreamPart.objects.filter(table__in=[each.table_id for each in versions]):
        parts.setdefault(part.table_id, []).append(part)
    troubles = {}
    for version in versions:
        source = version.spec.source
        stream = source.stream if isinstance(source, StreamSource) else ""
        mine = [each for each in parts.get(version.table_id or 0, []) if each.stream == stream]
        if words := _trouble(mine, at):
            troubles[about_version(version)] = Trouble(words, "stream_unread")
    settle(AlertKind.STREAM_UNREAD, troubles, at=at)


def _trouble(parts: list[StreamPart], at: datetime) -> str:
    """Return what is the matter with the parts of one table's stream; empty: nothing is."""
    if not any(_is_recent(part.seen_at, at) for part in parts):
        said = next((part.words for part in parts if part.words), "")
        return f"nobody reads its stream: see that `manage.py consume` runs. {said}".strip()
    bad = [f"{part}: {part.words}" for part in parts if part.words and not _may_pass(part, at)]
    more = f" … and {len(bad) - _NAMED} more." if len(bad) > _NAMED else ""
    return " ".join(bad[:_NAMED]) + more


def _may_pass(part: StreamPart, at: datetime) -> bool:
    return part.state != PartState.STOPPED and _is_recent(part.since, at)


def _is_recent(instant: datetime | None, at: datetime) -> bool:
    return instant is not None and instant > at - PATIENCE
