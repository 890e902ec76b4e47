"""What people are told of, what they want to hear, and how far the trail has been told on."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from registry.choices import NewsKind
from registry.models.project import Project


class Notification(models.Model):
    """One event as one person hears of it; who did it is looked up when it is shown."""

    recipient = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notifications"
    )
    #: Null: of the installation, and a matter of those who run it.
    project = models.ForeignKey(
        Project, null=True, blank=True, on_delete=models.CASCADE, related_name="+"
    )
    kind = models.CharField(max_length=12, choices=[(k, k) for k in NewsKind])
    #: What happened, the same for all who hear of it: nobody is told twice.
    event = models.CharField(max_length=120)
    #: Null: nobody's doing.
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    #: ``<actor> <words> <label>``, without an actor ``<label> <words>``.
    words = models.CharField(max_length=300)
    label = models.CharField(max_length=200)
    #: The object it leads to: ``app.model`` and its key.
    subject_type = models.CharField(max_length=80)
    subject_id = models.CharField(max_length=40)
    at = models.DateTimeField()
    read_at = models.DateTimeField(null=True, blank=True)
    #: When a mail of it is due; null: none is to be sent, or it was sent or given up.
    mail_due_at = models.DateTimeField(null=True, blank=True)
    #: How often it was given to a worker, and which of those attempts one has begun.
    mail_tries = models.PositiveSmallIntegerField(default=0)
    mail_begun = models.PositiveSmallIntegerField(default=0)
    mailed_at = models.DateTimeField(null=True, blank=True)
    mail_error = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=("recipient", "event"), name="registry_notification_once"
            ),
        )
        indexes = (
            # "What have I not read?" is asked by every page, "what is to be mailed?" by each sweep.
            models.Index(
                fields=("recipient",),
                condition=Q(read_at=None),
                name="registry_notification_unread",
            ),
            models.Index(
                fields=("mail_due_at",),
                condition=Q(mail_due_at__isnull=False),
                name="registry_notification_mail",
            ),
            models.Index(fields=("event",), name="registry_notification_event"),
            models.Index(fields=("at",), name="registry_notification_at"),
        )

    def __str__(self) -> str:
        actor = self.actor
        if actor is None:
            return f"{self.label} {self.words}"
        return f"{actor.get_username()} {self.words} {self.label}"


class NewsChoice(models.Model):
    """What one person wants to hear; who has none hears everything, by mail too."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="news_choice"
    )
    #: Kinds (``NewsKind``) that they do not want to hear of.
    muted = models.JSONField(default=list, blank=True)
    by_mail = models.BooleanField(default=True)

    def __str__(self) -> str:
        return f"what {self.user} hears"


class NewsCursor(models.Model):
    """The one row that says up to which entry of the trail people were told."""

    entry_id = models.BigIntegerField(default=0)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(pk=1), name="registry_newscursor_one_row"),
        )

    def __str__(self) -> str:
        return f"told up to {self.entry_id}"
