"""Where alerts are sent, and each message that is to be, was or could not be sent.

Not for what goes into a message: ``quality.alerts.channels`` writes it.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from materialization.choices import NoticeEvent, Severity
from materialization.models.alerts import Alert
from registry.models import Project


class AlertChannel(models.Model):
    """One place where people hear of a project's alerts. Its address is a secret: it opens it."""

    #: Null: of the installation, and a matter of those who run it.
    project = models.ForeignKey(
        Project, null=True, blank=True, on_delete=models.PROTECT, related_name="alert_channels"
    )
    name = models.CharField(max_length=63)
    #: As apprise writes addresses; never shown, logged or recorded whole.
    url = models.TextField()
    #: What may be shown of it: kind and host.
    where = models.CharField(max_length=300)
    #: The least grave alerts that are sent.
    severity = models.CharField(max_length=8, choices=[(s, s) for s in Severity])
    #: Whether it hears of reviews as well.
    hears_reviews = models.BooleanField(default=False)
    enabled = models.BooleanField(default=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField()
    last_sent_at = models.DateTimeField(null=True, blank=True)
    #: Why the latest message could not be sent, and since when none could; empty: it could.
    error = models.CharField(max_length=300, blank=True)
    failing_since = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("project__name", "name")
        verbose_name = "alert channel"
        constraints = (
            models.UniqueConstraint(
                fields=("project", "name"), name="materialization_alertchannel_name"
            ),
            models.UniqueConstraint(
                fields=("name",),
                condition=Q(project=None),
                name="materialization_alertchannel_name_of_all",
            ),
        )

    def __str__(self) -> str:
        return self.name


class AlertNotice(models.Model):
    """One message on one channel: the row is the queue, a task is told its number."""

    channel = models.ForeignKey(AlertChannel, on_delete=models.CASCADE, related_name="notices")
    #: Null: somebody tests the channel, or it is about a review.
    alert = models.ForeignKey(
        Alert, null=True, blank=True, on_delete=models.CASCADE, related_name="notices"
    )
    event = models.CharField(max_length=8, choices=[(e, e) for e in NoticeEvent])
    #: Of what happened in a review: its own for ever, what it says, the page it leads to.
    key = models.CharField(max_length=120, blank=True)
    title = models.CharField(max_length=300, blank=True)
    path = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField()
    #: How often it was given to a worker, and which of those attempts one has begun.
    attempts = models.PositiveSmallIntegerField(default=0)
    begun = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)
    given_up_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            # Once for each opening and once for each closing.
            models.UniqueConstraint(
                fields=("channel", "alert", "event"), name="materialization_alertnotice_once"
            ),
            models.UniqueConstraint(
                fields=("channel", "key"),
                condition=~Q(key=""),
                name="materialization_alertnotice_of_event_once",
            ),
        )
        # "What is to be sent now?" is asked by every sweep.
        indexes = (
            models.Index(
                fields=("next_try_at",),
                condition=Q(sent_at=None, given_up_at=None),
                name="materialization_notice_due",
            ),
        )

    def __str__(self) -> str:
        return f"{self.event}: {self.alert or self.title or 'a test'} to {self.channel}"
