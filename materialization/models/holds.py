"""Files of tables that somebody above needs for longer than readers do.

Not for what needs them: whoever makes a hold says that in words, and ends it.
"""

from __future__ import annotations

from django.db import models

from registry.models import FeatureTable


class FileHold(models.Model):
    """The files of one version of a table; care leaves them, whatever took their place since."""

    table = models.ForeignKey(FeatureTable, on_delete=models.PROTECT, related_name="holds")
    #: The version of the offline table that they were read at, and what the store calls the table.
    stored_version = models.BigIntegerField()
    stored_as = models.CharField(max_length=64, blank=True)
    #: ``{"name", "rows", "size", "first_event", "last_event", "sha256"}`` of each, in the order in
    #: which a reader was given them: it decides which of two rows counts that are alike in all
    #: their stamps. Events' times are in microseconds, null where the table did not know them.
    files = models.JSONField(default=list)
    held_for = models.CharField(max_length=200)
    held_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"files of {self.table} for {self.held_for}"

    @property
    def names(self) -> list[str]:
        return [file["name"] for file in self.files]
