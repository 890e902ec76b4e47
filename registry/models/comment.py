"""What people say to each other while a version is drafted and reviewed."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from registry.choices import Side
from registry.models.feature_view_version import FeatureViewVersion


class ReviewPassage(models.Model):
    """A text of a version as it was when something was said of a line of it: once for all lines."""

    version = models.ForeignKey(
        FeatureViewVersion, on_delete=models.PROTECT, related_name="passages"
    )
    #: Of the text.
    sha256 = models.CharField(max_length=64)
    text = models.TextField()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("version", "sha256"), name="registry_reviewpassage_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.sha256[:12]} of {self.version}"


class ReviewComment(models.Model):
    """One remark; it is never changed and never removed. The first of a thread may be on a line.

    Of the line it keeps the text that stood around it, so that a later submission can tell what
    became of it.
    """

    version = models.ForeignKey(
        FeatureViewVersion, on_delete=models.PROTECT, related_name="comments"
    )
    #: What this answers: the first of its thread; null for that one itself.
    thread = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="answers"
    )
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    body = models.TextField()
    #: The submission it was said of; empty where there was none yet.
    packet_hash = models.CharField(max_length=64, blank=True)
    #: Which text of the version (``registry.passages``), which side of it, which line from 1; all
    #: empty: it is about the version as a whole.
    path = models.CharField(max_length=500, blank=True)
    side = models.CharField(max_length=3, choices=[(s, s) for s in Side], blank=True)
    line = models.PositiveIntegerField(null=True, blank=True)
    #: All of that text, as it was.
    passage = models.ForeignKey(
        ReviewPassage, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )

    class Meta:
        ordering = ("created_at", "id")

    def __str__(self) -> str:
        return f"comment {self.pk} on {self.version}"

    @property
    def line_text(self) -> str:
        """Return the line it is on, as it was; empty where it is on none."""
        if self.line is None or self.passage is None:
            return ""
        return self.passage.text.split("\n")[self.line - 1]
