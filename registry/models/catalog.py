"""Entities and data sources: what features describe and where their rows come from."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models

from lib.decoding import json_reader
from registry.models.project import Project, is_name
from registry.spec.model import EntitySpec
from registry.spec.sources.kinds import Source

if TYPE_CHECKING:
    from collections.abc import Callable

_read_entity = json_reader(EntitySpec)
_read_source: Callable[[bytes | str], Source] = json_reader(Source)


class CatalogObject(models.Model):
    """Shared columns: the canonical spec is the truth, owner and tags are copies to search by."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT)
    name = models.CharField(max_length=63, validators=[is_name])
    description = models.TextField(blank=True)
    owner = models.CharField(max_length=200, blank=True)
    tags = models.JSONField(default=dict, blank=True)
    spec_json = models.TextField()
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    updated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    #: Everybody who ever wrote it; they count as editors of each version that embeds it.
    editors = models.ManyToManyField(settings.AUTH_USER_MODEL, related_name="+")

    class Meta:
        abstract = True
        ordering = ("name",)
        constraints = (
            models.UniqueConstraint(
                fields=("project", "name"), name="%(app_label)s_%(class)s_name"
            ),
        )

    def __str__(self) -> str:
        return self.name


class Entity(CatalogObject):
    """One thing features describe, with its join keys."""

    class Meta(CatalogObject.Meta):
        verbose_name_plural = "entities"

    @cached_property
    def spec(self) -> EntitySpec:
        return _read_entity(self.spec_json)


class DataSource(CatalogObject):
    """One place rows come from, with its two time columns."""

    @cached_property
    def spec(self) -> Source:
        return _read_source(self.spec_json)
