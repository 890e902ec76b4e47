"""Saying that one knows of an alert.

Not for opening or closing any: a cause does that, and its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from lib.errors import Conflict
from materialization.choices import AlertState
from materialization.models import Alert
from registry import access, audit, locks
from registry.choices import Right

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import AnonymousUser, User


class AlertNotOpen(Conflict):
    code = "alert_not_open"


def acknowledge_alert(*, alert: Alert, actor: User, at: datetime) -> Alert:
    """Note that somebody knows of an open alert and sees to it; it stays open until its cause ends.

    :raises ActionNotPermitted: the actor may not start runs of what it is about; about the whole
        installation, is no superuser.
    :raises AlertNotOpen: it is closed by now, or somebody acknowledged it first.
    """
    require_acknowledge(actor, alert)
    with transaction.atomic():
        (held,) = locks.hold(Alert.objects.filter(pk=alert.pk))
        if held.state != AlertState.OPEN:
            raise AlertNotOpen(f"{held} is {held.state} by now. Look again.", state=held.state)
        held.acknowledged_at, held.acknowledged_by = at, actor
        held.save(update_fields=["acknowledged_at", "acknowledged_by"])
        audit.record(
            actor=actor,
            verb="alert.acknowledged",
            subject=held,
            project=held.project,
            data={"opened_at": held.opened_at, "count": held.count},
            at=at,
        )
    alert.refresh_from_db()
    return alert


def require_acknowledge(actor: User | AnonymousUser, alert: Alert) -> None:
    """:raises ActionNotPermitted: see ``acknowledge_alert``."""
    if alert.project is None:
        access.require_superuser(actor)
        return
    where = alert.version.feature_view if alert.version else alert.project
    access.require(actor, Right.MATERIALIZE_FEATUREVIEW, where)
