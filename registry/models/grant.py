"""Leave to read sensitive values: for whom, of what, why, until when, and who agreed.

Not for what a grant lets somebody read: ``registry.grants`` decides that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from registry.choices import SENSITIVE, GrantState
from registry.models.feature_view import FeatureView
from registry.models.project import Project

if TYPE_CHECKING:
    from datetime import datetime


class ReadGrant(models.Model):
    """One account's leave to read sensitive values, asked for by one person, given by another.

    Of one view, whatever is sensitive in it, or of every view of the project up to a level.
    """

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="read_grants")
    #: Whose it is: a person's or a service account's.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="read_grants"
    )
    feature_view = models.ForeignKey(
        FeatureView, null=True, blank=True, on_delete=models.PROTECT, related_name="read_grants"
    )
    level = models.CharField(max_length=16, choices=[(s, s) for s in SENSITIVE], blank=True)
    purpose = models.TextField()
    ends_at = models.DateTimeField()
    state = models.CharField(
        max_length=8, choices=[(s, s) for s in GrantState], default=GrantState.ASKED
    )
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    asked_at = models.DateTimeField()
    #: Who gave or refused it.
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    #: Whether one person asked and gave, because nobody else could have given it.
    is_unseconded = models.BooleanField(default=False)
    revoked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    revoked_at = models.DateTimeField(null=True, blank=True)
    #: What was said at the last step.
    comment = models.TextField(blank=True)

    class Meta:
        verbose_name = "grant"
        ordering = ("-asked_at", "-id")
        constraints = (
            models.CheckConstraint(
                condition=Q(feature_view__isnull=True) ^ Q(level=""),
                name="registry_readgrant_of_a_view_or_a_level",
            ),
            models.CheckConstraint(
                condition=Q(is_unseconded=True)
                | Q(decided_by__isnull=True)
                | ~(Q(decided_by=F("asked_by")) | Q(decided_by=F("user")))
                | Q(state=GrantState.REFUSED),
                name="registry_readgrant_takes_two",
            ),
            models.CheckConstraint(
                condition=~Q(state=GrantState.GIVEN) | Q(decided_by__isnull=False),
                name="registry_readgrant_is_given_by_somebody",
            ),
        )
        indexes = (
            # "What may this account read of this project now?" is asked by every read plan.
            models.Index(fields=("user", "project", "state"), name="registry_readgrant_of_account"),
            # "What waits, and what ends soon?" is asked by the list and the overview.
            models.Index(fields=("project", "state", "ends_at"), name="registry_readgrant_ending"),
        )

    def __str__(self) -> str:
        """Say what it is; not whose, for the trail keeps no names."""
        return f"grant {self.pk} to read {self.scope} of {self.project}"

    @property
    def scope(self) -> str:
        """What it is of, in words."""
        return f"up to {self.level}" if self.level else str(self.feature_view)

    def is_active(self, at: datetime) -> bool:
        return self.state == GrantState.GIVEN and at < self.ends_at
