"""That a version was approved without the four eyes, and who has looked at it since."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models

from registry.choices import Look
from registry.models.audit import AuditEntry
from registry.models.feature_view_version import FeatureViewVersion

if TYPE_CHECKING:
    from datetime import datetime


class BrokenGlass(models.Model):
    """One person's word in place of the approvals a version wants: why, and until when.

    A version is broken open once, for it is approved once.
    """

    version = models.OneToOneField(
        FeatureViewVersion, on_delete=models.PROTECT, related_name="glass"
    )
    packet_hash = models.CharField(max_length=64)
    #: Of packet and evidence as they stood, as a review has it.
    decided_on = models.CharField(max_length=64)
    broken_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    reason = models.TextField()
    broken_at = models.DateTimeField()
    #: From then on it leads nowhere until somebody confirmed it.
    ends_at = models.DateTimeField()
    #: On whose word they had the right then, as ``hands`` has it; it stays so if they lose it.
    hands = models.JSONField()
    #: What the trail says of it: the database takes no broken glass without.
    audit_entry = models.OneToOneField(AuditEntry, on_delete=models.PROTECT, related_name="+")
    #: What was said afterwards by whoever settled it; empty: nobody has.
    verdict = models.CharField(max_length=16, choices=[(v, v) for v in Look], blank=True)
    looked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    looked_at = models.DateTimeField(null=True, blank=True)
    comment = models.TextField(blank=True)
    look_entry = models.OneToOneField(
        AuditEntry, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )

    class Meta:
        verbose_name = "broken glass"
        verbose_name_plural = "broken glasses"
        # "Which did nobody look at?" is asked by every list and sweep.
        indexes = (models.Index(fields=("verdict",), name="registry_brokenglass_verdict"),)

    def __str__(self) -> str:
        return f"the glass of {self.version}"

    @property
    def is_unlooked(self) -> bool:
        return self.verdict == ""

    @property
    def is_confirmed(self) -> bool:
        return self.verdict == Look.CONFIRMED

    def leads_nowhere(self, at: datetime) -> bool:
        """Whether the version may not be made the default, or be approved again, at an instant."""
        return self.verdict == Look.OBJECTED or (self.is_unlooked and at >= self.ends_at)
