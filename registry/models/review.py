"""What reviewers decided."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from registry.choices import Verdict
from registry.models.feature_view import FeatureViewVersion


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
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("created_at", "id")
        constraints = (
            # One voice a person on one submission: two approvals need two people.
            models.UniqueConstraint(
                fields=("version", "reviewer", "packet_hash"), name="registry_review_one_voice"
            ),
        )

    def __str__(self) -> str:
        return f"{self.reviewer}: {self.verdict} {self.version}"
