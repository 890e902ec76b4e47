"""The trail: append-only, chained by hashes, guarded by database triggers."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class AuditEntry(models.Model):
    """One thing somebody did or was refused; its labels are copies, so it outlives its subject."""

    #: Shared by all entries of one act.
    act_id = models.UUIDField()
    at = models.DateTimeField()
    project_name = models.CharField(max_length=63, blank=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="+",
    )
    actor_name = models.CharField(max_length=200)
    #: Namespaced and past tense: `feature_view_version.approved`.
    verb = models.CharField(max_length=80)
    subject_type = models.CharField(max_length=40)
    subject_id = models.CharField(max_length=40, blank=True)
    subject_label = models.CharField(max_length=200)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    data = models.JSONField(default=dict)
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64, unique=True)

    class Meta:
        ordering = ("-id",)
        verbose_name_plural = "audit entries"
        indexes = (
            # "What happened to this object?" and "what happened in this project, newest first?"
            models.Index(fields=("subject_type", "subject_id"), name="registry_audit_subject"),
            models.Index(fields=("project_name", "-id"), name="registry_audit_project"),
        )

    def __str__(self) -> str:
        return f"{self.actor_name} {self.verb} {self.subject_label}"


class AuditHead(models.Model):
    """The one row that holds the chain's newest hash; locked by whoever appends."""

    hash = models.CharField(max_length=64)
    count = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=models.Q(pk=1), name="registry_audithead_one_row"),
        )

    def __str__(self) -> str:
        return f"{self.count} entries, {self.hash[:12]}"
