"""What people ask about features, and what those who know answer."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from registry.models.feature_view import FeatureView


class Question(models.Model):
    """One question about one feature, whatever version; it is closed, and never removed."""

    feature_view = models.ForeignKey(
        FeatureView, on_delete=models.PROTECT, related_name="questions"
    )
    feature = models.CharField(max_length=63)
    text = models.TextField()
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    asked_at = models.DateTimeField()
    #: The answer that answers it, as whoever asked or knows the feature says.
    accepted = models.ForeignKey(
        "Answer", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )

    class Meta:
        ordering = ("-asked_at", "-id")
        # "What was asked about this feature?" is asked by its page.
        indexes = (
            models.Index(fields=("feature_view", "feature"), name="registry_question_feature"),
        )

    def __str__(self) -> str:
        return f"question {self.pk} on {self.feature_view}:{self.feature}"

    @property
    def reference(self) -> str:
        return f"{self.feature_view.name}:{self.feature}"


class Answer(models.Model):
    """One answer; it is never changed and never removed."""

    question = models.ForeignKey(Question, on_delete=models.PROTECT, related_name="answers")
    text = models.TextField()
    answered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    answered_at = models.DateTimeField()

    class Meta:
        ordering = ("answered_at", "id")

    def __str__(self) -> str:
        return f"answer {self.pk} to {self.question}"
