"""What one person wants changed of who decides, until another agrees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models

from registry.choices import ProposalKind, ProposalState
from registry.models.project import Project

if TYPE_CHECKING:
    from datetime import datetime


class Proposal(models.Model):
    """One change of the policy, a role, a root or an account that waits for a second person."""

    kind = models.CharField(max_length=16, choices=[(k, k) for k in ProposalKind])
    #: Null: it is about an account, which is of no project.
    project = models.ForeignKey(
        Project, null=True, blank=True, on_delete=models.CASCADE, related_name="proposals"
    )
    #: Whom it is about, where it is about somebody.
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    #: What would be changed, as the operation takes it; ``registry.proposals`` puts it into words.
    change = models.JSONField()
    #: A password as it would be stored; empty once somebody decided. Never shown.
    secret = models.CharField(max_length=256, blank=True, editable=False)
    state = models.CharField(
        max_length=16, choices=[(s, s) for s in ProposalState], default=ProposalState.PROPOSED
    )
    proposed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    proposed_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    comment = models.TextField(blank=True)

    class Meta:
        ordering = ("-id",)
        # "What waits for a second person?" is asked by every page.
        indexes = (models.Index(fields=("state", "expires_at"), name="registry_proposal_state"),)

    def __str__(self) -> str:
        return f"proposal {self.pk}"

    def is_open(self, at: datetime) -> bool:
        return self.state == ProposalState.PROPOSED and at < self.expires_at
