"""Rows that a run's checks refused: kept beside their table until somebody decides, or nobody did.

Not for which checks: the run has them. Not for the rows: the offline store has the files.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models

from materialization.choices import KEPT_STATES, QuarantineState
from materialization.models.runs import MaterializationRun
from materialization.windows import Window
from registry.models import FeatureTable


class Quarantine(models.Model):
    """The rows of one blocked run. It is changed under the lock of its table."""

    run = models.OneToOneField(
        MaterializationRun, on_delete=models.CASCADE, related_name="quarantine"
    )
    table = models.ForeignKey(FeatureTable, on_delete=models.PROTECT, related_name="quarantines")
    #: Of what time they are: the run's window or, of a run in chunks, that of the one refused.
    window_start = models.DateTimeField(null=True, blank=True)
    window_end = models.DateTimeField()
    state = models.CharField(
        max_length=16, choices=[(s, s) for s in QuarantineState], default=QuarantineState.HELD
    )
    #: What the store calls it; empty once the files are removed.
    stored_as = models.CharField(max_length=100)
    rows = models.PositiveBigIntegerField()
    size_bytes = models.PositiveBigIntegerField()
    held_at = models.DateTimeField()
    #: Who decided what becomes of it, when and why; nobody where the system did.
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    reason = models.TextField(blank=True)
    #: The run that published them, stored the same time instead, or holds newer rows of it.
    ended_by = models.ForeignKey(
        MaterializationRun, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        ordering = ("-id",)
        verbose_name = "quarantine"
        verbose_name_plural = "quarantine"
        indexes = (
            # "What of the table is held?" at each run, "what is to be removed?" at each sweep.
            models.Index(fields=("table", "state"), name="materialization_quarantine_of"),
            models.Index(
                fields=("held_at",),
                condition=~models.Q(stored_as=""),
                name="materialization_quarantine_age",
            ),
        )

    def __str__(self) -> str:
        return f"quarantine of {self.run}"

    @property
    def window(self) -> Window:
        return Window(self.window_start, self.window_end)

    @property
    def is_kept(self) -> bool:
        return self.state in KEPT_STATES
