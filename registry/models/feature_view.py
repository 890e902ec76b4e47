"""The feature view (identity) and the tables of data that its versions share."""

from __future__ import annotations

import base64
import secrets
from datetime import timedelta

from django.db import models
from guardian.models import GroupObjectPermissionBase, UserObjectPermissionBase

from registry.choices import Right
from registry.models.project import Project, is_name


def new_uid() -> str:
    """Return 40 random bits in letters and digits that are safe in paths and short in keys.

    No two tables of a registry have the same: the database sees to that.
    """
    return base64.b32encode(secrets.token_bytes(5)).decode().lower()


class FeatureView(models.Model):
    """The stable identity of a view; what it means is in its versions."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT)
    name = models.CharField(max_length=63, validators=[is_name])
    #: The version a reference without a pin reads; moved by `promote` only.
    default_version = models.ForeignKey(
        "FeatureViewVersion", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    #: Another one after every change of what read plans hold of it; see ``registry.epoch``.
    epoch = models.CharField(max_length=16, default="", blank=True, editable=False)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("name",)
        constraints = (
            models.UniqueConstraint(fields=("project", "name"), name="registry_featureview_name"),
        )
        permissions = (
            (Right.READ_ONLINE, "Can read online features"),
            (Right.READ_OFFLINE, "Can read training sets"),
            (Right.PUSH_FEATUREVIEW, "Can push rows"),
            (Right.APPROVE_FEATUREVIEW, "Can approve versions"),
            (Right.RELEASE_FEATUREVIEW, "Can promote, deprecate and retire versions"),
            (Right.MATERIALIZE_FEATUREVIEW, "Can start and cancel runs"),
            (Right.CHANGE_SCHEDULE, "Can change schedules"),
        )

    def __str__(self) -> str:
        return self.name


class FeatureViewUserObjectPermission(UserObjectPermissionBase):
    content_object = models.ForeignKey(FeatureView, on_delete=models.CASCADE)


class FeatureViewGroupObjectPermission(GroupObjectPermissionBase):
    content_object = models.ForeignKey(FeatureView, on_delete=models.CASCADE)


class FeatureTable(models.Model):
    """The stored rows of one view and one data fingerprint; shared by versions equal in data."""

    feature_view = models.ForeignKey(FeatureView, on_delete=models.PROTECT, related_name="tables")
    fingerprint = models.CharField(max_length=64)
    #: Names the table in both stores; random, so that a registry made anew never meets old values.
    uid = models.CharField(max_length=16, unique=True, default=new_uid)
    #: When it was first backfilled, checked and loaded; null until then.
    ready_at = models.DateTimeField(null=True, blank=True)
    #: When the last load of a table that is not ready began: rows of it may be online, although
    #: nobody is told so. Null where there are none.
    loading_since = models.DateTimeField(null=True, blank=True)
    #: For how long after their event its rows stay in the online store: zero before they were
    #: loaded, null for ever.
    kept_for = models.DurationField(null=True, blank=True, default=timedelta(0))
    #: Which load the online store has at least: the number of its run. Zero before the first.
    generation = models.PositiveBigIntegerField(default=0)
    #: What the offline store called the table at its last commit, and the version that commit made.
    #: Another name or a lower version there: it is not the store this database belongs to.
    stored_as = models.CharField(max_length=64, default="", blank=True)
    stored_version = models.BigIntegerField(default=-1)
    created_at = models.DateTimeField()

    class Meta:
        verbose_name = "table of stored data"
        verbose_name_plural = "tables of stored data"
        constraints = (
            models.UniqueConstraint(
                fields=("feature_view", "fingerprint"), name="registry_featuretable_data"
            ),
        )

    def __str__(self) -> str:
        return f"{self.feature_view}/{self.uid}"

    def keeps(self, ttl: timedelta | None) -> bool:
        """Return whether every row that a reader with this TTL may get is in the online store."""
        return self.kept_for is None or (ttl is not None and ttl <= self.kept_for)
