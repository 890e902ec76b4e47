"""The registry's part of ``/api/v1``."""

from __future__ import annotations

from django.urls import path, re_path

from registry import views
from registry.choices import Action

_PROJECT = "projects/<slug:project>"
_VERSION = (
    r"^projects/(?P<project>[-\w]+)/feature-views/(?P<name>\w+)/versions/(?P<version>[\w.]+)"
)

urlpatterns = [
    path("projects", views.ProjectsAPI.as_view(), name="projects"),
    path("whoami", views.WhoAmIAPI.as_view(), name="whoami"),
    path(f"{_PROJECT}/definitions", views.DefinitionsAPI.as_view(), name="definitions"),
    path(f"{_PROJECT}/entities", views.EntitiesAPI.as_view(), name="entities"),
    path(f"{_PROJECT}/entities/<str:name>", views.EntityAPI.as_view(), name="entity"),
    path(f"{_PROJECT}/data-sources", views.DataSourcesAPI.as_view(), name="data-sources"),
    path(f"{_PROJECT}/data-sources/<str:name>", views.DataSourceAPI.as_view(), name="data-source"),
    path(f"{_PROJECT}/feature-views", views.FeatureViewsAPI.as_view(), name="feature-views"),
    path(
        f"{_PROJECT}/feature-views/<str:name>", views.FeatureViewAPI.as_view(), name="feature-view"
    ),
    re_path(rf"{_VERSION}$", views.VersionAPI.as_view(), name="version"),
    re_path(rf"{_VERSION}/review$", views.ReviewAPI.as_view(), name="review"),
    re_path(
        rf"{_VERSION}/(?P<action>{'|'.join(Action)})$",
        views.ActionAPI.as_view(),
        name="version-action",
    ),
    path(
        f"{_PROJECT}/feature-services", views.FeatureServicesAPI.as_view(), name="feature-services"
    ),
    path(
        f"{_PROJECT}/feature-services/<str:name>",
        views.FeatureServiceAPI.as_view(),
        name="feature-service",
    ),
    path(f"{_PROJECT}/audit", views.AuditAPI.as_view(), name="audit"),
]
