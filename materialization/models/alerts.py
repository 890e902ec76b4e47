"""What is wrong now, and was: one row from the moment a cause is met until it is gone.

Not for what counts as wrong: ``quality.alerts`` has the causes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models
from django.db.models import Q

from materialization.choices import AlertKind, AlertState, Severity
from materialization.models.runs import MaterializationRun
from registry.models import FeatureViewVersion, Project

if TYPE_CHECKING:
    from collections.abc import Iterable


class AlertRows(models.QuerySet["Alert"]):
    def open(self) -> AlertRows:
        return self.filter(closed_at=None)

    def in_state(self, state: str) -> AlertRows:
        return self.filter(**STATES[AlertState(state)]) if state else self


#: What each state is in the rows.
STATES: dict[AlertState, dict[str, Any]] = {
    AlertState.OPEN: {"closed_at": None, "acknowledged_at": None},
    AlertState.ACKNOWLEDGED: {"closed_at": None, "acknowledged_at__isnull": False},
    AlertState.CLOSED: {"closed_at__isnull": False},
}


class Alert(models.Model):
    """One cause of trouble with one subject: opened once, quiet while open, closed when it is gone.

    Its words name what is defined, files and columns, never a value of the data.
    """

    #: Null: it is about the installation, and a matter of those who run it.
    project = models.ForeignKey(
        Project, null=True, blank=True, on_delete=models.PROTECT, related_name="alerts"
    )
    kind = models.CharField(max_length=24, choices=[(k, k.replace("_", " ")) for k in AlertKind])
    severity = models.CharField(max_length=8, choices=[(s, s) for s in Severity])
    #: What it is about, by name: ``view@version``, a service, a store.
    subject = models.CharField(max_length=200)
    #: Where it is about one; it closes when nobody may read that version any more.
    version = models.ForeignKey(
        FeatureViewVersion, null=True, blank=True, on_delete=models.PROTECT, related_name="alerts"
    )
    #: The latest run that met the cause.
    run = models.ForeignKey(
        MaterializationRun, null=True, blank=True, on_delete=models.SET_NULL, related_name="alerts"
    )
    #: What was said when it was met the last time.
    words = models.TextField()
    #: What the cause is called where words may not go: an error's code.
    code = models.CharField(max_length=60, blank=True)
    count = models.PositiveIntegerField(default=1)
    opened_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    closed_at = models.DateTimeField(null=True, blank=True)

    objects = AlertRows.as_manager()

    class Meta:
        ordering = ("-id",)
        constraints = (
            # Open once: who meets the cause again adds to it. A null project equals no other.
            models.UniqueConstraint(
                fields=("project", "kind", "subject"),
                condition=Q(closed_at=None),
                name="materialization_alert_open_once",
            ),
            models.UniqueConstraint(
                fields=("kind", "subject"),
                condition=Q(closed_at=None, project=None),
                name="materialization_alert_of_all_open_once",
            ),
        )
        # "What is wrong now?" is asked by every sweep, every scrape and the first page.
        indexes = (models.Index(fields=("closed_at", "kind"), name="materialization_alert_open"),)

    def __str__(self) -> str:
        return f"{self.kind}: {self.subject}"

    @property
    def state(self) -> AlertState:
        if self.closed_at is not None:
            return AlertState.CLOSED
        return AlertState.OPEN if self.acknowledged_at is None else AlertState.ACKNOWLEDGED


def open_alerts(projects: Iterable[Project | int]) -> AlertRows:
    """Return what is wrong in these projects now, the gravest first and what came last first."""
    found = Alert.objects.open().filter(project__in=projects)
    return found.order_by("severity", "-last_seen_at")
