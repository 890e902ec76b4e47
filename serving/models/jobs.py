"""Training sets that a worker puts together, for whoever would wait too long for an answer.

Not for what is kept to be proven: that is a ``Dataset``. A job's file is there for some hours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models

from registry.models import FeatureViewVersion, Project
from serving.choices import WorkStatus
from serving.models.work import Work

if TYPE_CHECKING:
    from datetime import datetime


class HistoricalJob(Work):
    """One question of ``get-historical-features`` whose answer is a file, as long as it is kept."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="historical_jobs")
    #: What was asked, in words, and the columns it gives: ``JoinedFeature``, each of a part.
    request = models.JSONField()
    columns = models.JSONField()
    #: The query that gave the frame, with what it reads; empty: the frame was sent.
    query = models.TextField(blank=True)
    #: What its files are called: nothing that anybody could have chosen.
    uid = models.CharField(max_length=32, unique=True)
    #: Rows of the frame; null: they are found while it is made.
    rows = models.PositiveBigIntegerField(null=True)
    rows_done = models.PositiveBigIntegerField(default=0)
    #: The attempt that wrote the file; each writes one of its own.
    written_by = models.PositiveSmallIntegerField(default=0)
    #: Of all of its files, as far as they are there: the frame, then the answer.
    size = models.PositiveBigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    #: Warnings, and of each view how many rows it gave something to; no values.
    found = models.JSONField(default=dict, blank=True)
    #: When the file is removed; null until there is one.
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        indexes = (
            # "What died, waits for a worker, or is over?" is asked by every sweep.
            models.Index(fields=("status", "enqueued_at"), name="serving_histjob_status"),
            # "What has somebody?" is asked whenever they ask for another.
            models.Index(fields=("requested_by", "status"), name="serving_histjob_of"),
        )

    def __str__(self) -> str:
        return f"historical job {self.pk}"

    def is_there(self, at: datetime) -> bool:
        """Return whether its file can be downloaded, as far as rights are not asked."""
        return (
            self.status == WorkStatus.DONE and self.expires_at is not None and at < self.expires_at
        )


class HistoricalJobPart(models.Model):
    """One version of a view that a job reads, under one name."""

    job = models.ForeignKey(HistoricalJob, on_delete=models.CASCADE, related_name="parts")
    position = models.PositiveSmallIntegerField()
    version = models.ForeignKey(FeatureViewVersion, on_delete=models.PROTECT, related_name="+")
    #: What the part is called in warnings: the version, and a name of the request's own.
    label = models.CharField(max_length=200)
    #: Join key → the frame's column that has it.
    key_columns = models.JSONField(default=dict)

    class Meta:
        ordering = ("position",)
        constraints = (
            models.UniqueConstraint(fields=("job", "position"), name="serving_histjobpart_place"),
        )

    def __str__(self) -> str:
        return f"{self.version} in {self.job}"
