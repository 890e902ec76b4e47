"""What reviewers decided, and who is asked to."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from registry.choices import Verdict
from registry.models.audit import AuditEntry
from registry.models.feature_view_version import FeatureViewVersion


class Review(models.Model):
    """One person's verdict on one submission; binds the packet they saw by its hash."""

    version = models.ForeignKey(
        FeatureViewVersion, on_delete=models.PROTECT, related_name="reviews"
    )
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    verdict = models.CharField(max_length=16, choices=[(v, v) for v in Verdict])
    comment = models.TextField(blank=True)
    packet_hash = models.CharField(max_length=64)
    #: Of packet and evidence as they stood; the ``packet_hash`` while no evidence was in.
    decided_on = models.CharField(max_length=64)
    #: What the trail says of it: the database takes no review without.
    audit_entry = models.OneToOneField(AuditEntry, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("created_at", "id")
        constraints = (
            # One voice a person on what is decided on, which is more once the evidence is in: two
            # approvals need two people.
            models.UniqueConstraint(
                fields=("version", "reviewer", "decided_on"), name="registry_review_one_voice"
            ),
        )

    def __str__(self) -> str:
        return f"{self.reviewer}: {self.verdict} {self.version}"


class AskedReviewer(models.Model):
    """Somebody who is asked to decide on a version, for as long as they could (``reviewers``)."""

    version = models.ForeignKey(FeatureViewVersion, on_delete=models.CASCADE, related_name="asked")
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+"
    )
    #: Null: nobody named anybody, and the definition has them as the view's owner.
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    asked_at = models.DateTimeField()

    class Meta:
        ordering = ("reviewer__username",)
        constraints = (
            models.UniqueConstraint(
                fields=("version", "reviewer"), name="registry_askedreviewer_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.reviewer} on {self.version}"
