"""The audit trail: append-only, chained by hashes, guarded by database triggers.

It keeps no names of people: who did something stands under a pseudonym, and is named when shown.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models

from registry.models.names import PSEUDONYM, names_of

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The columns in whose text pseudonyms stand.
TOLD = ("subject_label", "before", "after", "data")


class Entries(models.QuerySet["AuditEntry"]):
    """Entries as they are stored; ``named`` ones are for people to read, and not for hashing."""

    _is_named = False

    def named(self) -> Entries:
        """Return the same entries, with the present names of people in place of pseudonyms."""
        chained: Entries = self._chain()  # type: ignore[attr-defined]
        chained._is_named = True
        return chained

    def _clone(self) -> Entries:
        clone: Entries = super()._clone()  # type: ignore[misc]
        clone._is_named = self._is_named
        return clone

    def _fetch_all(self) -> None:
        fresh = self._result_cache is None
        super()._fetch_all()
        if fresh and self._is_named:
            name_people([each for each in self._result_cache or () if isinstance(each, AuditEntry)])


class AuditEntry(models.Model):
    """One thing somebody did or was refused; its labels are copies, so it outlives its subject."""

    #: Shared by all entries of one act.
    act_id = models.UUIDField()
    at = models.DateTimeField()
    project_name = models.CharField(max_length=63, blank=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="+",
    )
    #: A ``Pseudonym``, or `system` and `anonymous`, who are nobody.
    actor_pseudonym = models.CharField(max_length=24)
    #: Namespaced and past tense: `feature_view_version.approved`.
    verb = models.CharField(max_length=80)
    subject_type = models.CharField(max_length=40)
    subject_id = models.CharField(max_length=40, blank=True)
    subject_label = models.CharField(max_length=200)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    data = models.JSONField(default=dict)
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64, unique=True)

    objects = Entries.as_manager()

    class Meta:
        ordering = ("-id",)
        verbose_name_plural = "audit entries"
        indexes = (
            # "What happened to this object?" and "what happened in this project, newest first?"
            models.Index(fields=("subject_type", "subject_id"), name="registry_audit_subject"),
            models.Index(fields=("project_name", "-id"), name="registry_audit_project"),
            # "What did this person do?" and "what belongs to this request?"
            models.Index(fields=("actor", "-id"), name="registry_audit_actor"),
            models.Index(fields=("act_id",), name="registry_audit_act"),
        )

    def __str__(self) -> str:
        return f"{self.actor_name} {self.verb} {self.subject_label}"

    @property
    def actor_name(self) -> str:
        """The actor's present name; of somebody who was removed the pseudonym that stays."""
        named: str | None = self.__dict__.get("_actor_name")
        if named is None:
            named = self.__dict__["_actor_name"] = shown(self.actor_pseudonym)
        return named


class AuditHead(models.Model):
    """The one row that holds the chain's newest hash; locked by whoever appends."""

    hash = models.CharField(max_length=64)
    count = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=models.Q(pk=1), name="registry_audithead_one_row"),
        )

    def __str__(self) -> str:
        return f"{self.count} entries, {self.hash[:12]}"


class AuditSeal(models.Model):
    """One seal that was made here; what counts of it is where it was published to."""

    #: Entries that the trail had.
    count = models.PositiveBigIntegerField()
    #: The seal itself, as ``registry.seals.sealed`` writes it.
    line = models.TextField()
    made_at = models.DateTimeField()
    #: Addresses where it is not yet, why not, and when that was tried last.
    missing = models.JSONField(default=list, blank=True)
    failed = models.TextField(blank=True)
    tried_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"seal of {self.count} entries"


def shown(pseudonym: str) -> str:
    if not PSEUDONYM.fullmatch(pseudonym):
        return pseudonym
    return names_of([pseudonym])[pseudonym]


def name_people(entries: Sequence[AuditEntry]) -> None:
    """Put present names into loaded entries, all asked for at once; the rows stay as they are."""
    texts = [json.dumps([getattr(entry, name) for name in TOLD]) for entry in entries]
    wanted = {entry.actor_pseudonym for entry in entries}
    wanted |= {found for text in texts for found in PSEUDONYM.findall(text)}
    names = names_of([each for each in wanted if PSEUDONYM.fullmatch(each)])
    for entry, text in zip(entries, texts, strict=True):
        entry.__dict__["_actor_name"] = names.get(entry.actor_pseudonym, entry.actor_pseudonym)
        if PSEUDONYM.search(text):
            entry.__dict__.update(zip(TOLD, _named(text, names), strict=True))


def _named(text: str, names: dict[str, str]) -> list[Any]:
    escaped = {pseudonym: json.dumps(name)[1:-1] for pseudonym, name in names.items()}
    told: list[Any] = json.loads(PSEUDONYM.sub(lambda found: escaped[found[0]], text))
    return told
