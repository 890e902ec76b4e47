"""The versions of a view (immutable once submitted), their numbers, editors and features."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.db.models import Q

from lib.errors import Conflict
from registry import locks
from registry.choices import SENSITIVITY_ORDER, SERVED_STATES, ChangeClass, Sensitivity, State
from registry.models.feature_view import FeatureTable, FeatureView
from registry.spec.version_spec import VersionSpec, load_version_spec
from registry.spec.versions import Version

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime


class StateChanged(Conflict):
    code = "state_changed"


class FeatureViewVersion(models.Model):
    """One version of a view. From submit on nothing but its state and its pointers moves."""

    feature_view = models.ForeignKey(FeatureView, on_delete=models.PROTECT, related_name="versions")
    #: Assigned at submit, null while a draft has never been submitted.
    major = models.PositiveIntegerField(null=True, blank=True)
    minor = models.PositiveIntegerField(null=True, blank=True)
    patch = models.PositiveIntegerField(null=True, blank=True)
    state = models.CharField(
        max_length=16, choices=[(s, s.replace("_", " ")) for s in State], default=State.DRAFT
    )
    #: Canonical JSON of the VersionSpec, source and entities embedded.
    spec_json = models.TextField()
    data_fingerprint = models.CharField(max_length=64)
    metadata_fingerprint = models.CharField(max_length=64)
    table = models.ForeignKey(
        FeatureTable, null=True, blank=True, on_delete=models.PROTECT, related_name="versions"
    )
    based_on = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    change_class = models.CharField(max_length=8, choices=[(c, c) for c in ChangeClass], blank=True)
    #: What the reviewer sees, computed once at submit; an approval binds its hash.
    packet = models.JSONField(default=dict, blank=True)
    packet_hash = models.CharField(max_length=64, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField()
    submitted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    submitted_at = models.DateTimeField(null=True, blank=True)
    approved_at = models.DateTimeField(null=True, blank=True)
    #: Since when it is deprecated, and until when it is said to answer; null where it is not.
    deprecated_at = models.DateTimeField(null=True, blank=True)
    sunset_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("feature_view__name", "-major", "-minor", "-patch", "-id")
        constraints = (
            # The number a version has now; `VersionNumber` knows every one that was ever given.
            models.UniqueConstraint(
                fields=("feature_view", "major", "minor", "patch"),
                name="registry_featureviewversion_number",
            ),
            models.CheckConstraint(
                condition=Q(state=State.DRAFT) | Q(major__isnull=False),
                name="registry_featureviewversion_submitted_is_numbered",
            ),
        )
        # "What waits for review?" and "what is materialized?" are asked by every page and sweep.
        indexes = (models.Index(fields=("state",), name="registry_version_state"),)

    def __str__(self) -> str:
        return f"{self.feature_view.name}@{self.number or 'draft'}"

    @property
    def spec(self) -> VersionSpec:
        return load_version_spec(self.spec_json)

    @property
    def version(self) -> Version | None:
        if self.major is None or self.minor is None or self.patch is None:
            return None
        return Version(self.major, self.minor, self.patch)

    @property
    def number(self) -> str | None:
        return str(self.version) if self.version else None

    @property
    def is_ready(self) -> bool:
        """Whether reads can be answered: approved, backfilled, checked and loaded.

        Loaded for this version: a neighbour of a shorter TTL, or one that is not online, does not
        load what it has no use for.
        """
        if self.state not in SERVED_STATES:
            return False
        if not self.spec.transform.is_stored:
            return True
        if self.table is None or self.table.ready_at is None:
            return False
        return not self.spec.view.online or self.table.keeps(self.spec.ttl)

    @property
    def sensitivity(self) -> Sensitivity:
        """The highest sensitivity of any of its features."""
        return max(
            (feature.sensitivity for feature in self.spec.features), key=SENSITIVITY_ORDER.index
        )

    def hold(self) -> None:
        """See the row as it is now, and keep others from changing it until the transaction ends.

        :raises StateChanged: it says something else than when it was loaded, or was submitted anew.
        """
        seen = self.spec_json, self.packet_hash
        locks.hold(type(self).objects.filter(pk=self.pk))
        self.refresh_from_db()
        if seen != (self.spec_json, self.packet_hash):
            raise StateChanged(f"{self} changed since it was loaded. Look again, then repeat.")

    def move(self, *, expected: State, to: State, **also: object) -> None:
        """Change the state by conditional update, with other columns in the same statement.

        :raises StateChanged: somebody moved it first.
        """
        moved = type(self).objects.filter(pk=self.pk, state=expected).update(state=to, **also)
        if moved != 1:
            raise StateChanged(
                f"{self} is no longer {expected}: somebody was first. Look again, then repeat."
            )
        self.refresh_from_db()

    def has_edited(self, user_id: int) -> bool:
        return self.editors.filter(user_id=user_id).exists()


class VersionNumber(models.Model):
    """A number a version was given at a submission; it stays that version's for ever."""

    feature_view = models.ForeignKey(FeatureView, on_delete=models.PROTECT, related_name="+")
    major = models.PositiveIntegerField()
    minor = models.PositiveIntegerField()
    patch = models.PositiveIntegerField()
    version = models.ForeignKey(
        FeatureViewVersion, on_delete=models.PROTECT, related_name="numbers"
    )

    class Meta:
        constraints = (
            # Of two versions that are submitted at once, one gets the number.
            models.UniqueConstraint(
                fields=("feature_view", "major", "minor", "patch"),
                name="registry_versionnumber_once",
            ),
        )

    def __str__(self) -> str:
        return f"{self.feature_view.name}@{self.number}"

    @property
    def number(self) -> Version:
        return Version(self.major, self.minor, self.patch)


class VersionEditor(models.Model):
    """Somebody who created, edited or submitted content of a version; never removed."""

    version = models.ForeignKey(
        FeatureViewVersion, on_delete=models.CASCADE, related_name="editors"
    )
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    first_at = models.DateTimeField()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("version", "user"), name="registry_versioneditor_once"),
        )

    def __str__(self) -> str:
        return f"{self.user} on {self.version}"

    @staticmethod
    def note(version: FeatureViewVersion, user_ids: Iterable[int], *, at: datetime) -> None:
        """Remember these people as editors; those already known stay as they are."""
        VersionEditor.objects.bulk_create(
            [VersionEditor(version=version, user_id=pk, first_at=at) for pk in user_ids],
            ignore_conflicts=True,
        )


class Feature(models.Model):
    """One feature of one version: a copy of the spec's words to search and list by."""

    version = models.ForeignKey(
        FeatureViewVersion, on_delete=models.CASCADE, related_name="features"
    )
    name = models.CharField(max_length=63)
    type = models.CharField(max_length=100)
    sensitivity = models.CharField(max_length=16, choices=[(s, s) for s in Sensitivity])
    description = models.TextField(blank=True)
    position = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ("position",)
        constraints = (
            models.UniqueConstraint(fields=("version", "name"), name="registry_feature_name"),
        )
        indexes = (models.Index(fields=("name",), name="registry_feature_by_name"),)

    def __str__(self) -> str:
        return self.name
