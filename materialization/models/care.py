"""What tables take in the stores, what views may take, and when files were last seen to.

Not for seeing to them: ``runner.caring`` does.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models

from registry.models import FeatureTable, FeatureView


class TableCare(models.Model):
    """One row a table: when its files were compacted and vacuumed last, and its runs expired."""

    table = models.OneToOneField(FeatureTable, on_delete=models.CASCADE, related_name="care")
    cared_at = models.DateTimeField(null=True, blank=True)
    #: The table's version after that: later ones are commits that nobody has seen to.
    stored_version = models.BigIntegerField(default=-1)
    #: When a worker was last asked, for the sake of this table, to see to all that are due.
    enqueued_at = models.DateTimeField(null=True, blank=True)
    #: Until then a worker is at it.
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    files = models.PositiveIntegerField(default=0)
    #: Small files that became fewer, files that were removed and their bytes; since ever.
    compacted = models.PositiveBigIntegerField(default=0)
    removed = models.PositiveBigIntegerField(default=0)
    freed = models.PositiveBigIntegerField(default=0)
    error = models.TextField(blank=True)
    #: When its old runs were looked at last, and how many expired; since ever.
    runs_seen_at = models.DateTimeField(null=True, blank=True)
    runs_expired = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        return f"care of {self.table}"


class TableSize(models.Model):
    """What a table took on one day, in bytes and keys; the days say how it grows."""

    table = models.ForeignKey(FeatureTable, on_delete=models.CASCADE, related_name="sizes")
    day = models.DateField()
    offline_bytes = models.PositiveBigIntegerField(default=0)
    #: Null: the online store did not say.
    online_keys = models.PositiveBigIntegerField(null=True, blank=True)
    #: The keys' number times what some of them took.
    online_bytes = models.PositiveBigIntegerField(null=True, blank=True)
    #: When that count began: what was loaded since may not be in it.
    counted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("day",)
        constraints = (
            models.UniqueConstraint(
                fields=("table", "day"), name="materialization_tablesize_one_a_day"
            ),
        )

    def __str__(self) -> str:
        return f"{self.table} on {self.day}"


class ViewBudget(models.Model):
    """What the tables of one view may take together; nothing stops there, an alert says so.

    Null: what the settings say for every view. Zero: as much as it likes.
    """

    feature_view = models.OneToOneField(
        FeatureView, on_delete=models.CASCADE, related_name="budget"
    )
    disk_mb = models.PositiveBigIntegerField(null=True, blank=True)
    online_keys = models.PositiveBigIntegerField(null=True, blank=True)
    memory_mb = models.PositiveBigIntegerField(null=True, blank=True)
    reason = models.TextField()
    set_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    set_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"budget of {self.feature_view}"
