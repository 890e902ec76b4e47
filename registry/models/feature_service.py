"""What a model consumes: a named, versioned list of features, each pinned or at the default."""

from __future__ import annotations

from functools import cached_property

from django.conf import settings
from django.db import models

from lib.decoding import json_reader
from registry.models.feature_view import FeatureView
from registry.models.feature_view_version import FeatureViewVersion
from registry.models.project import Project, is_name
from registry.spec.model import FeatureServiceSpec

_read_service = json_reader(FeatureServiceSpec)


class FeatureService(models.Model):
    """The stable identity of a service; `current` is what a request that names it gets."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT)
    name = models.CharField(max_length=63, validators=[is_name])
    current = models.ForeignKey(
        "FeatureServiceVersion", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("name",)
        constraints = (
            models.UniqueConstraint(
                fields=("project", "name"), name="registry_featureservice_name"
            ),
        )

    def __str__(self) -> str:
        return self.name


class FeatureServiceVersion(models.Model):
    """One immutable state of a service."""

    feature_service = models.ForeignKey(
        FeatureService, on_delete=models.PROTECT, related_name="versions"
    )
    version = models.PositiveIntegerField()
    spec_json = models.TextField()
    description = models.TextField(blank=True)
    owner = models.CharField(max_length=200, blank=True)
    tags = models.JSONField(default=dict, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("-version",)
        constraints = (
            models.UniqueConstraint(
                fields=("feature_service", "version"), name="registry_featureserviceversion_number"
            ),
        )

    def __str__(self) -> str:
        return f"{self.feature_service}@{self.version}"

    @cached_property
    def spec(self) -> FeatureServiceSpec:
        return _read_service(self.spec_json)


class FeatureServiceMember(models.Model):
    """One feature of a service, as its `pin` says; `version` is the one an exact pin names."""

    service_version = models.ForeignKey(
        FeatureServiceVersion, on_delete=models.CASCADE, related_name="members"
    )
    position = models.PositiveSmallIntegerField()
    feature_view = models.ForeignKey(
        FeatureView, on_delete=models.PROTECT, related_name="service_members"
    )
    version = models.ForeignKey(
        FeatureViewVersion,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="service_members",
    )
    #: The pin as written (`1.2.0`, `v2`); empty when following the default.
    pin = models.CharField(max_length=32, blank=True)
    feature = models.CharField(max_length=63)

    class Meta:
        ordering = ("position",)

    def __str__(self) -> str:
        pin = f"@{self.pin}" if self.pin else ""
        return f"{self.feature_view.name}{pin}:{self.feature}"
