"""The one way an alert opens, collects and closes: by conditional writes, whoever meets the cause.

Of several who meet one cause at once one opens it, the others add to it. Not for who is told
(``notices``) and not for acknowledging (``requests.alerts``).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from django.db import IntegrityError, transaction
from django.db.models import F

from materialization.models import Alert
from materialization.quality.alerts.causes import SEVERITY
from materialization.quality.alerts.notices import tell_of_closing, tell_of_opening
from materialization.quality.alerts.people import tell_people

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from materialization.choices import AlertKind, Severity
    from materialization.models import MaterializationRun
    from materialization.models.alerts import AlertRows
    from registry.models import FeatureService, FeatureViewVersion, Project

#: A lasting state that is met by every sweep is noted this often.
NOTED_EVERY = timedelta(minutes=5)


class About(NamedTuple):
    """What an alert is about; without a project it is about the installation."""

    subject: str
    project: Project | None = None
    version: FeatureViewVersion | None = None


class Trouble(NamedTuple):
    """What was met: ``words`` for those who may see the project, ``code`` for everybody.

    Neither quotes a value of the data. ``severity`` None: that of its kind.
    """

    words: str
    code: str = ""
    run: MaterializationRun | None = None
    severity: Severity | None = None

    @property
    def plain(self) -> str:
        """Return the words with spaces for those that pages keep lines together with."""
        return self.words.replace("\xa0", " ")


def about_version(version: FeatureViewVersion) -> About:
    return About(str(version), version.feature_view.project, version)


def about_service(service: FeatureService) -> About:
    return About(service.name, service.project)


def raise_alert(kind: AlertKind, about: About, trouble: Trouble, *, at: datetime) -> Alert:
    """Open an alert about a subject, or add to the one that is open; return it as it is now.

    Call in the transaction of what is told, before the trail is written: see ``registry.locks``.
    """
    with transaction.atomic():
        if _add_to(_of(kind, about), trouble, at):
            return _of(kind, about).get()
        try:
            with transaction.atomic():
                return _open(kind, about, trouble, at)
        except IntegrityError:  # somebody else opened it meanwhile
            _add_to(_of(kind, about), trouble, at)
            return _of(kind, about).get()


def close_alert(kind: AlertKind, about: About, *, at: datetime) -> bool:
    """Close the alert about a subject, its cause being gone; return whether one was open."""
    return bool(close_alerts(_of(kind, about), at=at))


def close_alerts(alerts: AlertRows, *, at: datetime) -> list[Alert]:
    """Close those of the alerts that are open; return the ones that this call closed."""
    return [alert for alert in alerts.open() if _close(alert, at)]


def settle(
    kind: AlertKind, found: Mapping[About, Trouble], *, at: datetime, again: timedelta = NOTED_EVERY
) -> None:
    """Let exactly these subjects have an open alert of this kind: for causes that are looked for.

    One that is open and was noted within ``again`` is left as it is.
    """
    is_open = {(alert.project_id, alert.subject): alert for alert in _every(kind)}
    for about, trouble in found.items():
        known = is_open.pop(_key(about), None)
        if known is None or not (known.last_seen_at <= at < known.last_seen_at + again):
            raise_alert(kind, about, trouble, at=at)
    close_alerts(Alert.objects.filter(pk__in=[alert.pk for alert in is_open.values()]), at=at)


def _key(about: About) -> tuple[int | None, str]:
    return (about.project.pk if about.project else None, about.subject)


def _every(kind: AlertKind) -> Iterable[Alert]:
    return Alert.objects.open().filter(kind=kind)


def _of(kind: AlertKind, about: About) -> AlertRows:
    rows = Alert.objects.open().filter(kind=kind, subject=about.subject)
    return rows.filter(project=about.project) if about.project else rows.filter(project=None)


def _add_to(alerts: AlertRows, trouble: Trouble, at: datetime) -> bool:
    return bool(
        alerts.update(
            count=F("count") + 1,
            last_seen_at=at,
            words=trouble.plain,
            code=trouble.code,
            run=trouble.run,
        )
    )


def _open(kind: AlertKind, about: About, trouble: Trouble, at: datetime) -> Alert:
    alert = Alert.objects.create(
        project=about.project,
        kind=kind,
        severity=trouble.severity or SEVERITY[kind],
        subject=about.subject,
        version=about.version,
        run=trouble.run,
        words=trouble.plain,
        code=trouble.code,
        opened_at=at,
        last_seen_at=at,
    )
    tell_of_opening(alert)
    tell_people(alert)
    return alert


@transaction.atomic
def _close(alert: Alert, at: datetime) -> bool:
    if not Alert.objects.open().filter(pk=alert.pk).update(closed_at=at):
        return False
    alert.closed_at = at
    tell_of_closing(alert, at=at)
    return True
