"""What searches look through. Not for the file itself: ``materialization.vectors`` has that."""

from __future__ import annotations

from django.db import models

from registry.models import FeatureTable


class VectorIndex(models.Model):
    """One row a table that can be searched: the file with its newest rows, and what is in it."""

    table = models.OneToOneField(
        FeatureTable, on_delete=models.CASCADE, related_name="vector_index"
    )
    #: Which file of the keeper it is; empty: there is none.
    file = models.CharField(max_length=200, blank=True)
    #: What the offline store called the table, and the version of it that was read.
    stored_as = models.CharField(max_length=64, blank=True)
    stored_version = models.BigIntegerField(default=-1)
    #: When its reading began: what was stored later may lack.
    built_at = models.DateTimeField(null=True, blank=True)
    seconds = models.FloatField(default=0)
    rows = models.PositiveBigIntegerField(default=0)
    bytes = models.PositiveBigIntegerField(default=0)
    #: Feature → how many of the rows have a vector that can be found.
    vectors = models.JSONField(default=dict, blank=True)
    #: Feature → how many cells it has, and metric → how far they are searched (``Reach``);
    #: features whose vectors are all looked at are left out.
    cells = models.JSONField(default=dict, blank=True)
    #: Why there is no newer one; empty: nothing is wrong.
    error = models.TextField(blank=True)
    #: Rows that come before then wait: building takes its share of a worker's time, not all.
    not_before = models.DateTimeField(null=True, blank=True)
    #: Until then a worker is at it.
    lease_expires_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"vectors of {self.table}"
