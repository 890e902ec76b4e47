"""Runs and schedules: when versions are turned into data, and what came of it.

Not for the data: the stores have the rows.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from materialization.choices import LIVE_STATUSES, RunKind, RunQueue, RunStatus, RunStep
from materialization.windows import Window
from registry.models import FeatureTable, FeatureViewVersion
from registry.spec.model import ScheduleSpec


class MaterializationSchedule(models.Model):
    """When one version is materialized; begins as the definition says, edited by those who may."""

    version = models.OneToOneField(
        FeatureViewVersion, on_delete=models.PROTECT, related_name="materialization_schedule"
    )
    every = models.CharField(
        max_length=12, blank=True, help_text="A whole number and a unit, as in 15m, 1h or 1d."
    )
    cron = models.CharField(
        max_length=64, blank=True, help_text="Five fields in UTC, as in 15 * * * *."
    )
    enabled = models.BooleanField(default=True)
    updated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    updated_at = models.DateTimeField()

    class Meta:
        ordering = ("version__feature_view__name",)
        verbose_name = "schedule"

    def __str__(self) -> str:
        return f"{self.version}: {self.spec or 'once'}{'' if self.enabled else ' (off)'}"

    @property
    def spec(self) -> ScheduleSpec | None:
        """None: backfilled once, then only when somebody asks."""
        if not (self.every or self.cron):
            return None
        return ScheduleSpec(every=self.every or None, cron=self.cron or None)


class MaterializationRun(models.Model):
    """A FeatureTable is brought to ``window_end``; the row is the truth, a task wakes it."""

    version = models.ForeignKey(FeatureViewVersion, on_delete=models.PROTECT, related_name="runs")
    table = models.ForeignKey(FeatureTable, on_delete=models.PROTECT, related_name="runs")
    kind = models.CharField(max_length=16, choices=[(k, k) for k in RunKind])
    queue = models.CharField(
        max_length=16, choices=[(q, q) for q in RunQueue], default=RunQueue.RUNS
    )
    #: Windows are (start, end]; a null start means from the first row on.
    window_start = models.DateTimeField(null=True, blank=True)
    window_end = models.DateTimeField()
    status = models.CharField(
        max_length=16, choices=[(s, s) for s in RunStatus], default=RunStatus.QUEUED
    )
    step = models.CharField(
        max_length=16, choices=[(s, s) for s in RunStep], default=RunStep.QUEUED
    )
    progress = models.FloatField(default=0.0)
    #: Drawn when the run first stores and kept by its later attempts: every row it stores carries
    #: it, and a later one's rows win ties. Null: it has stored nothing.
    sequence = models.PositiveBigIntegerField(null=True, blank=True)
    rows_read = models.PositiveBigIntegerField(default=0)
    rows_offline = models.PositiveBigIntegerField(default=0)
    rows_online = models.PositiveBigIntegerField(default=0)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    requested_at = models.DateTimeField()
    enqueued_at = models.DateTimeField()
    #: When somebody let it go on last; null: it was not paused. While it lay it waited for nobody.
    resumed_at = models.DateTimeField(null=True, blank=True)
    #: Since when it lies paused, or lay when it ended; and how long it lay before, once started.
    paused_at = models.DateTimeField(null=True, blank=True)
    paused_for = models.DurationField(default=timedelta)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    #: The fencing token: grows with each claim; writes of an earlier attempt match no row.
    attempt = models.PositiveSmallIntegerField(default=0)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    #: Before then the system does not try again by itself: this run while it is queued, another of
    #: its table once it has ended. Null: it may at once, or nothing is to be tried.
    retry_at = models.DateTimeField(null=True, blank=True)
    #: How many runs of the table ended one after the other without success, this one included; 0
    #: before it ends, and after success.
    failures = models.PositiveIntegerField(default=0)
    worker = models.CharField(max_length=200, blank=True)
    #: The attempt that stored the newest chunk: later ones are counted from it, since it got on.
    stored_attempt = models.PositiveSmallIntegerField(default=0)
    #: What the run stores one after the other: see ``chunks.Chunk``. Empty: not decided yet.
    chunks = models.JSONField(default=list, blank=True)
    #: Up to when stored rows are compared with the source; null: to the end of the window.
    compared_until = models.DateTimeField(null=True, blank=True)
    pause_requested = models.BooleanField(default=False)
    cancel_requested = models.BooleanField(default=False)
    #: Its rows are being made visible, or are by now: it is not cancelled any more.
    publishing = models.BooleanField(default=False)
    error_code = models.CharField(max_length=60, blank=True)
    error = models.TextField(blank=True)
    #: The value of the source that the error is about: for those who may read the view's values.
    example = models.TextField(blank=True)
    traceback = models.TextField(blank=True)
    #: What of the source was read and what became of it: ``queries.source_counts`` says the keys.
    source_counts = models.JSONField(default=dict, blank=True)
    profile = models.JSONField(default=dict, blank=True)
    #: It has its features' profiles still; those of old runs are merged: see ``ProfileSpan``.
    has_profile = models.BooleanField(default=False)
    #: How far its values lay from the baseline and from the previous run's, by feature: see
    #: ``quality.drift_checks``. Null: nothing was compared.
    drift = models.JSONField(null=True, blank=True)
    checks = models.JSONField(default=list, blank=True)

    class Meta:
        ordering = ("-id",)
        verbose_name = "run"
        constraints = (
            # One writer a table: two runs would race for the same window.
            models.UniqueConstraint(
                fields=("table",),
                condition=Q(status__in=LIVE_STATUSES),
                name="materialization_run_one_live",
            ),
            models.UniqueConstraint(
                fields=("table", "sequence"), name="materialization_run_sequence"
            ),
            models.CheckConstraint(
                condition=Q(window_start=None) | Q(window_start__lte=F("window_end")),
                name="materialization_run_window",
            ),
        )
        indexes = (
            # "What died?" and "what waits?" are asked by every sweep.
            models.Index(fields=("status", "lease_expires_at"), name="materialization_run_due"),
            # "How did the table's last run end?", of all tables at once, whatever their history.
            models.Index(fields=("table", "-id"), name="materialization_run_newest"),
            # "Has the table a live run, or a paused one?"
            models.Index(fields=("table", "status"), name="materialization_run_live"),
            # "Which runs may have committed since?", of those alone that came so far.
            models.Index(
                fields=("table", "sequence"),
                condition=Q(publishing=True),
                name="materialization_run_published",
            ),
            # "Which profiles are old?" is asked by every sweep.
            models.Index(
                fields=("finished_at",),
                condition=Q(has_profile=True),
                name="materialization_run_unmerged",
            ),
            # "Which of a table's runs ended long ago?"
            models.Index(
                fields=("table", "finished_at"),
                condition=Q(has_profile=False),
                name="materialization_run_old",
            ),
            # "What was loaded since the table's keys were counted?"
            models.Index(
                fields=("table", "finished_at"),
                condition=Q(rows_online__gt=0),
                name="materialization_run_loaded",
            ),
            # "Which is the table's latest profile?"
            models.Index(
                fields=("table", "-id"),
                condition=Q(has_profile=True),
                name="materialization_run_profiled",
            ),
            # "How far did the latest run drift, and those before it?"
            models.Index(
                fields=("version", "-id"),
                condition=Q(drift__isnull=False),
                name="materialization_run_drift",
            ),
        )

    def __str__(self) -> str:
        return f"run {self.pk} of {self.version}"

    @property
    def is_live(self) -> bool:
        return self.status in LIVE_STATUSES

    def lay_paused(self, *, at: datetime) -> timedelta:
        """Return how long it has lain paused since it started."""
        since = max(self.paused_at, self.started_at) if self.paused_at and self.started_at else at
        return self.paused_for + max(at - since, timedelta())

    def worked(self, *, at: datetime) -> timedelta | None:
        """Return how long it has been at work, pauses left out; None: it has not started."""
        if self.started_at is None:
            return None
        return max(at - self.started_at - self.lay_paused(at=at), timedelta())

    @property
    def tries(self) -> int:
        """Return how many attempts there were since the run last got on."""
        return self.attempt - self.stored_attempt

    @property
    def window(self) -> Window:
        return Window(self.window_start, self.window_end)

    def advance(self, **columns: object) -> bool:
        """Write columns if this attempt still owns the run; return whether it does."""
        for name, value in columns.items():
            setattr(self, name, value)
        return bool(self.owned().update(**columns))

    def owned(self) -> models.QuerySet[MaterializationRun]:
        """Return the run's row as long as this attempt has it, else nothing."""
        return MaterializationRun.objects.filter(
            pk=self.pk, attempt=self.attempt, status=RunStatus.RUNNING
        )
