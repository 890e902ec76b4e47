"""Consistency certificates: what a comparison of one table found, and who asked for it.

Not for comparing: ``quality.consistency`` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.db.models import Q

from materialization.choices import LIVE_CERTIFICATES, CertificateKind, CertificateStatus
from registry.models import FeatureTable, FeatureViewVersion

if TYPE_CHECKING:
    from django.db.models import QuerySet


class Certificate(models.Model):
    """One comparison, from the asking to its end; what it says then is never changed."""

    table = models.ForeignKey(FeatureTable, on_delete=models.PROTECT, related_name="certificates")
    #: By whose definition the rows were read; all versions of a table have the same rows.
    version = models.ForeignKey(
        FeatureViewVersion, on_delete=models.PROTECT, related_name="certificates"
    )
    kind = models.CharField(max_length=8, choices=[(k, k) for k in CertificateKind])
    #: So many entities of each store were looked at; null: all.
    sample = models.PositiveIntegerField(null=True, blank=True)
    #: Only rows from then on were compared, with the source; null: all.
    since = models.DateTimeField(null=True, blank=True)
    #: What differs is put right as it is found.
    repair = models.BooleanField(default=False)
    status = models.CharField(
        max_length=12, choices=[(s, s) for s in CertificateStatus], default=CertificateStatus.QUEUED
    )
    #: Null: the schedule, or somebody at a shell of the server, where nobody logs in.
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    from_shell = models.BooleanField(default=False)
    requested_at = models.DateTimeField()
    enqueued_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    #: The fencing token: grows with each claim.
    attempt = models.PositiveSmallIntegerField(default=0)
    worker = models.CharField(max_length=200, blank=True)
    #: The instant that the rows are of, and the version of the offline table they were read from.
    as_of = models.DateTimeField(null=True, blank=True)
    stored_version = models.BigIntegerField(null=True, blank=True)
    compared = models.PositiveBigIntegerField(default=0)
    missing = models.PositiveBigIntegerField(default=0)
    extra = models.PositiveBigIntegerField(default=0)
    different = models.PositiveBigIntegerField(default=0)
    #: Of the equal ones: past every TTL, and gone from memory.
    expired = models.PositiveBigIntegerField(default=0)
    repaired = models.PositiveBigIntegerField(default=0)
    #: Of the source's rows those that are in files which the next run reads; of ticks those that
    #: rows which arrived since would change; of windows entities with what is not loaded yet.
    late = models.PositiveBigIntegerField(default=0)
    #: Stored rows of which the source has none any more: no difference, sources are trimmed.
    gone = models.PositiveBigIntegerField(default=0)
    #: Some of each kind of difference; their keys are for those who may read the view's values.
    examples = models.JSONField(default=list, blank=True)
    error_code = models.CharField(max_length=60, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            # Who asks while one is under way waits for that.
            models.UniqueConstraint(
                fields=("table", "kind"),
                condition=Q(status__in=LIVE_CERTIFICATES),
                name="materialization_certificate_one_live",
            ),
        )
        indexes = (
            # "What died?" is asked by every sweep, and what may be forgotten.
            models.Index(fields=("status", "requested_at"), name="materialization_cert_status"),
            # "When was each table compared last, and what came of it?", of all tables at once.
            models.Index(fields=("table", "kind", "-id"), name="materialization_cert_newest"),
        )

    def __str__(self) -> str:
        return f"certificate {self.pk} of {self.version}"

    @property
    def is_live(self) -> bool:
        return self.status in LIVE_CERTIFICATES

    @property
    def asker(self) -> str:
        """Who or what asked: a login, ``shell`` or ``schedule``."""
        if self.requested_by is not None:
            return self.requested_by.get_username()
        return "shell" if self.from_shell else "schedule"

    @property
    def is_whole(self) -> bool:
        return self.sample is None and self.since is None

    @property
    def has_windows(self) -> bool:
        """Whether what it compares is made at reads: both stores are as of one instant."""
        is_online = self.kind == CertificateKind.ONLINE
        return is_online and self.version.spec.has_windows_online

    @property
    def differences(self) -> int:
        return self.missing + self.extra + self.different

    @property
    def equal(self) -> int:
        return self.compared - self.differences - self.late

    def owned(self) -> QuerySet[Certificate]:
        """Return the row as long as this attempt has it."""
        running = Certificate.objects.filter(pk=self.pk, status=CertificateStatus.RUNNING)
        return running.filter(attempt=self.attempt)
