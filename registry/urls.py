"""The registry's part of ``/api/v1``."""

from __future__ import annotations

from django.urls import path, re_path

from registry import catalogue_views, views
from registry.choices import Action

_PROJECT = "projects/<slug:project>"
_VERSION = r"^projects/(?P<project>[-\w]+)/feature-views/(?P<name>\w+)/versions/(?P<version>[\w.]+)"
_CATALOGUE = {
    "entities": (catalogue_views.EntitiesAPI, catalogue_views.EntityAPI, "entity"),
    "data-sources": (
        catalogue_views.DataSourcesAPI,
        catalogue_views.DataSourceAPI,
        "data-source",
    ),
    "feature-views": (
        catalogue_views.FeatureViewsAPI,
        catalogue_views.FeatureViewAPI,
        "feature-view",
    ),
    "feature-services": (
        catalogue_views.FeatureServicesAPI,
        catalogue_views.FeatureServiceAPI,
        "feature-service",
    ),
}
_lists = [
    path(f"{_PROJECT}/{plural}", many.as_view(), name=plural)
    for plural, (many, _, _) in _CATALOGUE.items()
]
_details = [
    path(f"{_PROJECT}/{plural}/<slug:name>", one.as_view(), name=singular)
    for plural, (_, one, singular) in _CATALOGUE.items()
]

urlpatterns = [
    path("projects", views.ProjectsAPI.as_view(), name="projects"),
    path("whoami", views.WhoAmIAPI.as_view(), name="whoami"),
    path(f"{_PROJECT}/definitions", views.DefinitionsAPI.as_view(), name="definitions"),
    *_lists,
    *_details,
    re_path(rf"{_VERSION}$", views.VersionAPI.as_view(), name="version"),
    re_path(rf"{_VERSION}/review$", views.ReviewAPI.as_view(), name="review"),
    re_path(
        rf"{_VERSION}/(?P<action>{'|'.join(Action)})$",
        views.ActionAPI.as_view(),
        name="version-action",
    ),
    path(f"{_PROJECT}/audit", views.AuditAPI.as_view(), name="audit"),
]
