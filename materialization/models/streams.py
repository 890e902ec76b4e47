"""Who reads which part of which stream, how far it came, and what of it could not be taken.

Not for the place up to which rows are taken: it is written in one step with them, in Redis and with
the commit of the table. What stands here of it is for those who look.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from materialization.choices import LetterState, PartState
from registry.models import FeatureTable


class StreamConsumer(models.Model):
    """One consumer that lives, or did: how many share the work is counted by these."""

    name = models.CharField(max_length=200, unique=True)
    seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name


class StreamPart(models.Model):
    """One partition of the stream that a table's rows come from, and the consumer that reads it."""

    table = models.ForeignKey(FeatureTable, on_delete=models.PROTECT, related_name="stream_parts")
    #: As the source calls it: a topic.
    stream = models.CharField(max_length=500)
    partition = models.PositiveIntegerField()
    #: Counted up when somebody says where to read on; what was noted of the earlier is not for it.
    generation = models.PositiveIntegerField(default=0)
    #: The place of the first record that was to be read; null: nobody looked yet.
    start = models.BigIntegerField(null=True, blank=True)
    #: Which stream of that name it is, where the system behind it tells; empty: nobody looked yet.
    identity = models.CharField(max_length=200, blank=True)
    #: Who reads it until when; empty: nobody.
    consumer = models.CharField(max_length=200, blank=True)
    leased_until = models.DateTimeField(null=True, blank=True)
    state = models.CharField(
        max_length=8, choices=[(s, s) for s in PartState], default=PartState.WAITING
    )
    #: Why it is not read, in words; empty: it is, or nobody tried yet.
    words = models.TextField(blank=True)
    #: Since when it is read, or is not; other words for why are no other trouble.
    since = models.DateTimeField(null=True, blank=True)
    #: The place of the next record, and of the one behind the newest, when it was last looked at.
    place = models.BigIntegerField(null=True, blank=True)
    end = models.BigIntegerField(null=True, blank=True)
    #: How many records were there that were not read yet; null: nobody knows.
    lag = models.BigIntegerField(null=True, blank=True)
    #: Whether there may have been more: counting ends.
    lag_is_least = models.BooleanField(default=False)
    seen_at = models.DateTimeField(null=True, blank=True)
    #: Dead letters that were removed, for later ones needed their room.
    letters_removed = models.PositiveBigIntegerField(default=0)

    class Meta:
        ordering = ("table", "stream", "partition")
        constraints = (
            models.UniqueConstraint(
                fields=("table", "stream", "partition"), name="materialization_streampart_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.stream}, partition {self.partition}"


class DeadLetter(models.Model):
    """A record that could not be read, or whose row was refused: where it lies, and why.

    The record itself stays in the stream: its values are nowhere else.
    """

    part = models.ForeignKey(StreamPart, on_delete=models.CASCADE, related_name="letters")
    generation = models.PositiveIntegerField()
    place = models.BigIntegerField()
    #: Empty: it is the record as a whole.
    column = models.CharField(max_length=200, blank=True)
    words = models.TextField()
    state = models.CharField(
        max_length=16, choices=[(s, s) for s in LetterState], default=LetterState.WAITING
    )
    created_at = models.DateTimeField()
    #: Who left it out for good, when and why; nobody unless it is dismissed.
    dismissed_at = models.DateTimeField(null=True, blank=True)
    dismissed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    reason = models.TextField(blank=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=("part", "generation", "place"), name="materialization_deadletter_once"
            ),
        )
        indexes = (
            # "What was asked to be read again?" is asked every few seconds.
            models.Index(
                fields=("part",), condition=Q(state="asked"), name="materialization_letters_asked"
            ),
        )

    def __str__(self) -> str:
        return f"{self.part}, record {self.place}"

    @property
    def is_left_behind(self) -> bool:
        """Whether the stream was read on elsewhere since: nobody comes by its place any more."""
        return self.generation != self.part.generation
