"""What the values of a version are compared with.

Not for the profiles of runs: those are on the runs, while they are young.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models

from materialization.choices import Span
from registry.models import FeatureTable, FeatureViewVersion


class Baseline(models.Model):
    """What a version's values looked like when it was taken as right; the latest one counts."""

    version = models.ForeignKey(
        FeatureViewVersion, on_delete=models.PROTECT, related_name="baselines"
    )
    profile = models.JSONField()
    rows = models.PositiveBigIntegerField()
    #: Which runs' rows those are: how many, and the first and last by number.
    runs = models.PositiveIntegerField()
    first_run = models.PositiveBigIntegerField()
    last_run = models.PositiveBigIntegerField()
    set_at = models.DateTimeField()
    #: Null: it is what the version's approval and its first data made it.
    set_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    reason = models.TextField(blank=True)

    class Meta:
        ordering = ("-id",)
        # "Which one counts?" is asked by every run.
        indexes = (models.Index(fields=("version", "-id"), name="materialization_baseline_last"),)

    def __str__(self) -> str:
        return f"baseline of {self.version}"


class ProfileSpan(models.Model):
    """What the rows that a table's runs stored in one day, or month, looked like all together.

    It takes the place of those runs' own profiles, which would grow without end.
    """

    table = models.ForeignKey(FeatureTable, on_delete=models.PROTECT, related_name="profile_spans")
    span = models.CharField(max_length=8, choices=[(s, s) for s in Span])
    #: Its first day, in UTC, by the ends of the runs.
    starts_on = models.DateField()
    profile = models.JSONField()
    rows = models.PositiveBigIntegerField()
    runs = models.PositiveIntegerField()
    first_run = models.PositiveBigIntegerField()
    last_run = models.PositiveBigIntegerField()

    class Meta:
        ordering = ("-starts_on", "-id")
        constraints = (
            models.UniqueConstraint(
                fields=("table", "span", "starts_on"), name="materialization_profilespan_once"
            ),
        )
        # "Which days are old enough to be months?" is asked by every sweep.
        indexes = (models.Index(fields=("span", "starts_on"), name="materialization_span_oldest"),)

    def __str__(self) -> str:
        return f"the {self.span} of {self.starts_on} of {self.table}"
