"""Changing where a project's alerts are sent.

Not for sending: ``quality.alerts.notices`` does. The address is never in the trail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import IntegrityError, transaction

from lib.errors import Conflict, Invalid
from materialization.choices import Severity
from materialization.models import AlertChannel
from materialization.quality.alerts.channels import where_of
from materialization.quality.alerts.notices import note_test
from registry import access, audit
from registry.choices import Right

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import AnonymousUser, User

    from registry.models import Project

#: Channels of one project at most: each is told of each alert.
MOST_CHANNELS = 20


class BadChannelName(Invalid):
    code = "invalid_channel_name"


class ChannelExists(Conflict):
    code = "channel_exists"


class TooManyChannels(Conflict):
    code = "too_many_channels"


class TestWaits(Conflict):
    code = "test_waits"


def require_channels(actor: User | AnonymousUser, project: Project | None) -> None:
    """Return if the actor may say where a project's alerts go; the installation's: superusers.

    :raises ActionNotPermitted: they may not.
    """
    if project is None:
        access.require_superuser(actor)
    else:
        access.require(actor, Right.CHANGE_SCHEDULE, project)


@transaction.atomic
def add_channel(
    *,
    project: Project | None,
    name: str,
    url: str,
    severity: str,
    actor: User,
    at: datetime,
    hears_reviews: bool = False,
) -> AlertChannel:
    """Add a channel that hears of a project's alerts, and reviews if so, from now on.

    :raises ActionNotPermitted: see ``require_channels``.
    :raises BadChannel, ChannelHostNotAllowed: see ``quality.alerts.channels``.
    :raises BadChannelName, ChannelExists, TooManyChannels: naming the limit, or the other one.
    """
    require_channels(actor, project)
    if not name.strip() or len(name) > 63:
        raise BadChannelName(f"a channel's name has 1 to 63 characters; {name[:80]!r} has not.")
    where = where_of(url, allowed=settings.ALERT_HOSTS)
    if AlertChannel.objects.filter(project=project).count() >= MOST_CHANNELS:
        raise TooManyChannels(f"{MOST_CHANNELS} channels are the most that a project has.")
    channel = AlertChannel(
        project=project,
        name=name.strip(),
        url=url,
        where=where,
        severity=Severity(severity),
        hears_reviews=hears_reviews,
        created_by=actor,
        created_at=at,
    )
    try:
        with transaction.atomic():
            channel.save(force_insert=True)
    except IntegrityError as exc:
        raise ChannelExists(f"there is a channel {name!r} already.") from exc
    _record("created", channel, actor, at, after=_shown(channel))
    return channel


@transaction.atomic
def change_channel(
    *,
    channel: AlertChannel,
    severity: str,
    enabled: bool,
    actor: User,
    at: datetime,
    url: str = "",
    hears_reviews: bool | None = None,
) -> AlertChannel:
    """Change what a channel hears of and, where ``url`` is given, where it leads.

    ``hears_reviews`` None leaves that as it is.

    :raises ActionNotPermitted, BadChannel, ChannelHostNotAllowed: as ``add_channel``.
    """
    require_channels(actor, channel.project)
    before = _shown(channel)
    if url:
        channel.url, channel.where = url, where_of(url, allowed=settings.ALERT_HOSTS)
        channel.error, channel.failing_since = "", None
    channel.severity, channel.enabled = Severity(severity), enabled
    if hears_reviews is not None:
        channel.hears_reviews = hears_reviews
    columns = "url", "where", "severity", "hears_reviews", "enabled", "error", "failing_since"
    channel.save(update_fields=columns)
    after = _shown(channel) | ({"address": "another"} if url else {})
    _record("changed", channel, actor, at, before=before, after=after)
    return channel


@transaction.atomic
def remove_channel(*, channel: AlertChannel, actor: User, at: datetime) -> None:
    """Remove a channel with the messages that wait for it.

    :raises ActionNotPermitted: see ``require_channels``.
    """
    require_channels(actor, channel.project)
    held = AlertChannel.objects.select_related("project").get(pk=channel.pk)
    channel.delete()
    _record("removed", held, actor, at, before=_shown(held))


@transaction.atomic
def try_channel(*, channel: AlertChannel, actor: User, at: datetime) -> None:
    """Have a test message sent by the next sweep; what became of it is on the channel.

    :raises ActionNotPermitted: see ``require_channels``.
    :raises TestWaits: the test before has not been sent yet.
    """
    require_channels(actor, channel.project)
    if not note_test(channel, at=at):
        raise TestWaits("a test waits already; the next sweep sends it within seconds.")
    _record("tested", channel, actor, at)


def _shown(channel: AlertChannel) -> dict[str, Any]:
    columns = "where", "severity", "hears_reviews", "enabled"
    return {column: getattr(channel, column) for column in columns}


def _record(
    verb: str, channel: AlertChannel, actor: User, at: datetime, **fact: dict[str, Any]
) -> None:
    before, after = fact.get("before"), fact.get("after")
    audit.record(
        actor=actor,
        verb=f"alert_channel.{verb}",
        subject=channel,
        project=channel.project,
        before=before,
        after=after,
        at=at,
    )
