"""Datasets: training sets that are kept, what each is made of, and what verifying one found.

Not for the rows, which are files (``datasets.files``), nor for making them (``datasets.making``).
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from materialization.models import FileHold
from registry.models import FeatureViewVersion, Project
from serving.choices import LIVE_WORK, Verdict, WorkStatus
from serving.models.work import Work


class Dataset(Work):
    """One version of a dataset, immutable once it is done: the next of its name is another."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="datasets")
    name = models.CharField(max_length=63)
    number = models.PositiveIntegerField()
    description = models.TextField(blank=True)
    #: What was asked, in words, and the columns it gives: ``JoinedFeature``, each of a part.
    request = models.JSONField()
    columns = models.JSONField()
    #: The query that gave the frame, with what it reads; empty: the frame was sent.
    query = models.TextField(blank=True)
    #: Which columns its rows are made of, and chosen by: ``rows_kept.columns_kept``.
    query_columns = models.JSONField(default=dict, blank=True)
    #: What its files are called: nothing that anybody could have chosen.
    uid = models.CharField(max_length=32, unique=True)
    #: The entity frame's rows, the hash of its file, and its columns.
    rows = models.PositiveBigIntegerField()
    frame_sha256 = models.CharField(max_length=64)
    #: The attempt that wrote the rows; each writes a file of its own.
    written_by = models.PositiveSmallIntegerField(default=0)
    size = models.PositiveBigIntegerField(default=0)
    content_hash = models.CharField(max_length=64, blank=True)
    #: All there is to know of it, and the hash by which a model names it.
    manifest = models.JSONField(default=dict, blank=True)
    #: What its features' values look like; not in the manifest, which has no values.
    profile = models.JSONField(default=dict, blank=True)
    manifest_hash = models.CharField(max_length=64, blank=True)
    #: When it ends by itself; null: when somebody ends it.
    expires_at = models.DateTimeField(null=True, blank=True)
    #: Who ended it; nobody, where its time was over.
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
    )
    end_reason = models.TextField(blank=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            # The race detector of those who make the next version of a name.
            models.UniqueConstraint(
                fields=("project", "name", "number"), name="serving_dataset_version"
            ),
        )
        indexes = (
            # "What died, or waits for a worker?" is asked by every sweep.
            models.Index(fields=("status", "enqueued_at"), name="serving_dataset_status"),
            # "Whose time is over?" is asked by every sweep.
            models.Index(
                fields=("expires_at",),
                condition=Q(status=WorkStatus.DONE),
                name="serving_dataset_expiry",
            ),
        )

    def __str__(self) -> str:
        return f"{self.name}@{self.number}"


class DatasetPart(models.Model):
    """One version of a view that a dataset has features of, and the files they were read from."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="parts")
    position = models.PositiveSmallIntegerField()
    version = models.ForeignKey(
        FeatureViewVersion, on_delete=models.PROTECT, related_name="dataset_parts"
    )
    #: What the part is called in warnings: the version, and a name of the request's own.
    label = models.CharField(max_length=200)
    #: The features of it that the dataset has, and join key → the frame's column that has it.
    features = models.JSONField()
    key_columns = models.JSONField(default=dict)
    #: Null until a worker has taken a snapshot; two views of one table share one.
    hold = models.ForeignKey(
        FileHold, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )

    class Meta:
        ordering = ("position",)
        constraints = (
            models.UniqueConstraint(
                fields=("dataset", "position"), name="serving_datasetpart_position"
            ),
        )

    def __str__(self) -> str:
        return f"{self.version} in {self.dataset}"


class DatasetCheck(Work):
    """Computing a dataset again from the files it was made of, and what that found."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="checks")
    verdict = models.CharField(
        max_length=12, choices=[(v, v) for v in Verdict], blank=True, default=""
    )
    #: Which rows and files differ, counted; no values.
    found = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            # Who asks while one is under way waits for that.
            models.UniqueConstraint(
                fields=("dataset",),
                condition=Q(status__in=LIVE_WORK),
                name="serving_datasetcheck_one_live",
            ),
        )
        indexes = (
            models.Index(fields=("status", "enqueued_at"), name="serving_datasetcheck_status"),
        )

    def __str__(self) -> str:
        return f"check {self.pk} of {self.dataset}"
