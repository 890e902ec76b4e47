"""What is found out about a submission once it waits for review."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q

from registry.choices import EvidenceStatus
from registry.models.feature_view_version import FeatureViewVersion

if TYPE_CHECKING:
    from django.db.models import QuerySet


class Evidence(models.Model):
    """What a worker finds out about one submission of a version; once it is in, it stays.

    The packet says what is meant and is there at submit. This says what that does to the data,
    which takes longer.
    """

    version = models.ForeignKey(
        FeatureViewVersion, on_delete=models.PROTECT, related_name="evidence"
    )
    #: The submission's: another one has evidence of its own.
    packet_hash = models.CharField(max_length=64)
    status = models.CharField(
        max_length=9, choices=[(s, s) for s in EvidenceStatus], default=EvidenceStatus.WAITING
    )
    #: By ``EvidencePart``: what was found, or why nothing was; see ``registry.evidence``.
    parts = models.JSONField(default=dict, blank=True)
    #: Of the packet's hash and the parts together: what a decision binds once they are in.
    hash = models.CharField(max_length=64, blank=True)
    requested_at = models.DateTimeField()
    enqueued_at = models.DateTimeField(null=True, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    #: The fencing token: grows with each claim.
    attempt = models.PositiveSmallIntegerField(default=0)
    worker = models.CharField(max_length=200, blank=True)
    computed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("version", "packet_hash"), name="registry_evidence_of_submission"
            ),
            models.CheckConstraint(
                condition=~Q(status=EvidenceStatus.COMPUTED) | ~Q(hash=""),
                name="registry_evidence_computed_is_sealed",
            ),
        )
        # "Whose evidence is still to be computed, or was died over?" is asked by every sweep.
        indexes = (models.Index(fields=("status",), name="registry_evidence_status"),)

    def __str__(self) -> str:
        return f"evidence of {self.version}"

    @property
    def is_computed(self) -> bool:
        return self.status == EvidenceStatus.COMPUTED

    def owned(self) -> QuerySet[Evidence]:
        """Return the row as long as this attempt has it."""
        running = Evidence.objects.filter(pk=self.pk, status=EvidenceStatus.COMPUTING)
        return running.filter(attempt=self.attempt)
