"""What the processes tell each other through the database: whose turn it is, and their clocks."""

from __future__ import annotations

from django.db import models


class SweepTurn(models.Model):
    """The one row of whose turn it is to sweep, by the database's clock; see ``requests.turns``."""

    started_at = models.DateTimeField()
    #: Null while the sweep runs, and after one that died.
    finished_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"the sweep of {self.started_at.isoformat()}"


class ProcessClock(models.Model):
    """What one process measured of the clocks around it the last time it looked: it lived then."""

    #: As Celery names workers: kind@host.
    process = models.CharField(max_length=200, unique=True)
    measured_at = models.DateTimeField()
    #: How far the process's clock was ahead of the database's.
    ahead = models.DurationField()
    #: How far the clock of Redis was ahead of the database's; null: Redis did not answer.
    redis_ahead = models.DurationField(null=True, blank=True)
    #: The queues that it takes from.
    queues = models.JSONField(default=list, blank=True)

    class Meta:
        ordering = ("process",)

    def __str__(self) -> str:
        return f"the clock of {self.process}"
