"""What a table has stored, and what its runs saw of the source. Not for the rows themselves."""

from __future__ import annotations

from django.db import models

from materialization.models.runs import MaterializationRun
from materialization.windows import Window
from registry.models import FeatureTable


class TableSequence(models.Model):
    """The number that was drawn last for rows of one table; see ``sequences.draw_sequence``."""

    table = models.OneToOneField(
        FeatureTable, primary_key=True, on_delete=models.PROTECT, related_name="+"
    )
    last = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.table}: {self.last}"


class StoredWindow(models.Model):
    """One window whose rows are in the offline store; no other run computes it again.

    Windows that touch are one row, however many runs stored them: see ``runner.recording``.
    """

    table = models.ForeignKey(FeatureTable, on_delete=models.PROTECT, related_name="stored_windows")
    #: Of the runs that stored it, the one with the latest sequence.
    run = models.ForeignKey(
        MaterializationRun, on_delete=models.PROTECT, related_name="stored_windows"
    )
    #: The latest sequence of the others, or the number under which more of the run's rows are known
    #: after a load took those before them; 0: there are none. Whoever loads the rows of ``run``
    #: alone has to know that those are loaded.
    earlier_sequence = models.PositiveBigIntegerField(default=0)
    window_start = models.DateTimeField(null=True, blank=True)
    window_end = models.DateTimeField()
    #: The earliest event of the source that its runs aggregated; null: nobody noted it.
    first_event = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("window_end",)
        constraints = (
            models.UniqueConstraint(
                fields=("run", "window_end"), name="materialization_storedwindow_once"
            ),
        )

    def __str__(self) -> str:
        return f"({self.window_start or 'the beginning'}, {self.window_end}]"

    @property
    def window(self) -> Window:
        return Window(self.window_start, self.window_end)


class SourcePart(models.Model):
    """One part of a table's source, a file, as the last run that read it saw it.

    A run leaves it alone while it stays so, unless it has rows for the run's windows: see
    ``readings``.
    """

    table = models.ForeignKey(FeatureTable, on_delete=models.PROTECT, related_name="source_parts")
    name = models.TextField()
    identity = models.CharField(max_length=200)
    #: Every row up to then was taken; ``has_later``: it had rows beyond.
    read_until = models.DateTimeField()
    has_later = models.BooleanField()
    #: The as-of instant of the first run that saw it like this; null: the first backfill did.
    known_since = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("table", "name"), name="materialization_sourcepart_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.table}: {self.name}"
