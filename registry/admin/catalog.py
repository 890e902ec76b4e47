"""What the pages of entities and data sources share, and the entities: what features describe."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec
from django.contrib import admin
from django.db.models import OuterRef, Subquery
from unfold.decorators import display

from lib.batches import in_batches
from registry.admin.base import ScopedAdmin
from registry.admin.filters import ProjectFilter, column_filter
from registry.choices import State
from registry.markup import fallback, link, plain, utc
from registry.models import Entity, FeatureView, FeatureViewVersion
from registry.operations.registration.registered import registered_one
from registry.prose import rendered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

    from registry.models.catalog import CatalogObject


#: Views that the page of an entity or a source names.
MOST_USERS = 50


class CatalogAdmin(ScopedAdmin):
    """What the lists of entities and data sources share."""

    page = "registry/admin/catalog.html"
    list_filter = (ProjectFilter, column_filter("owner"))
    search_fields = ("name", "description", "owner")
    search_help_text = "Search by name, description or owner"
    empty_hint = "Register some: assay apply FILES, or POST definitions"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("project", "updated_by")

    def content(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        users = list(islice(self.users(obj), MOST_USERS + 1))
        return {
            "object": obj,
            "description": rendered(obj.description),
            "spec": obj.spec,
            "canonical": plain(msgspec.to_builtins(obj.spec)),
            "users": users[:MOST_USERS],
            "has_more_users": len(users) > MOST_USERS,
            "registered": registered_one(obj),
        }

    def users(self, obj: CatalogObject) -> Iterator[FeatureView]:
        """Yield the views whose newest version embeds the object."""
        newest = FeatureViewVersion.objects.exclude(state=State.RETIRED).order_by("-id")
        of_view = newest.filter(feature_view=OuterRef("pk")).values("pk")[:1]
        views = FeatureView.objects.filter(project=obj.project).values(newest=Subquery(of_view))
        # Most definitions do not even name it; which of the others embed it is seen from the spec.
        versions = newest.filter(pk__in=views, spec_json__contains=f'"{obj.name}"').defer("packet")
        named = versions.select_related("feature_view").order_by("feature_view__name", "pk")
        for version in in_batches(named, MOST_USERS):
            if self.is_used(obj, version.spec.view):
                yield version.feature_view

    def is_used(self, obj: CatalogObject, view: Any) -> bool:
        raise NotImplementedError

    @display(description="Name", ordering="name")
    def title(self, obj: CatalogObject) -> SafeString:
        return link(obj)

    @display(description="Description")
    def words(self, obj: CatalogObject) -> SafeString:
        return fallback(obj.description)

    @display(description="Owner", ordering="owner")
    def owned_by(self, obj: CatalogObject) -> SafeString:
        return fallback(obj.owner)

    @display(description="Changed", ordering="updated_at")
    def changed(self, obj: CatalogObject) -> SafeString:
        return utc(obj.updated_at)


@admin.register(Entity)
class EntityAdmin(CatalogAdmin):
    list_display = ("title", "project", "join_keys", "words", "owned_by", "changed")

    def is_used(self, obj: CatalogObject, view: Any) -> bool:
        return obj.name in view.entities

    @display(description="Join keys")
    def join_keys(self, entity: Entity) -> str:
        return ", ".join(f"{key.name}: {key.type}" for key in entity.spec.join_keys)
