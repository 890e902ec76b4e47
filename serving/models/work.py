"""What a worker does on somebody's behalf: the row is the queue, a message only carries its id.

Not for what is done: each kind of work is a model of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from django.conf import settings
from django.db import models

from serving.choices import LIVE_WORK, WorkStatus

if TYPE_CHECKING:
    from django.db.models import QuerySet


class Work(models.Model):
    """One piece of work, from the asking to its end."""

    status = models.CharField(
        max_length=12, choices=[(s, s) for s in WorkStatus], default=WorkStatus.QUEUED
    )
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    requested_at = models.DateTimeField()
    enqueued_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    #: The fencing token: grows with each claim.
    attempt = models.PositiveSmallIntegerField(default=0)
    worker = models.CharField(max_length=200, blank=True)
    error_code = models.CharField(max_length=60, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        abstract = True

    @property
    def is_live(self) -> bool:
        return self.status in LIVE_WORK

    def owned(self) -> QuerySet[Self]:
        """Return the row as long as this attempt has it."""
        rows: Any = type(self)._default_manager
        return rows.filter(pk=self.pk, status=WorkStatus.RUNNING, attempt=self.attempt)  # type: ignore[no-any-return]
