"""What the values of a version are compared with.

Not for the profiles of runs: those are on the runs.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models

from registry.models import FeatureViewVersion


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
