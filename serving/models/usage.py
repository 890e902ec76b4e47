"""When features were last read, by whom: what lists ask, without the table of all reads."""

from __future__ import annotations

from django.db import models


class LastRead(models.Model):
    """One feature of one version as one reader read it last; ``usage`` has all reads."""

    version = models.ForeignKey(
        "registry.FeatureViewVersion", on_delete=models.CASCADE, related_name="last_reads"
    )
    feature = models.CharField(max_length=63)
    #: A pseudonym, as the trail has it.
    reader = models.CharField(max_length=24)
    read_at = models.DateTimeField()

    class Meta:
        constraints = [
            # Asked: when was this last read, and by whom?
            models.UniqueConstraint(
                fields=("version", "feature", "reader"), name="one_last_read_a_reader"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version}:{self.feature} by {self.reader}"
