"""Materialization's part of ``/api/v1``."""

from __future__ import annotations

from django.urls import path

from materialization import views

_PROJECT = "projects/<slug:project>"

urlpatterns = [
    path(f"{_PROJECT}/materialize", views.MaterializeAPI.as_view(), name="materialize"),
    path(
        f"{_PROJECT}/materialize-incremental",
        views.MaterializeIncrementalAPI.as_view(),
        name="materialize-incremental",
    ),
    path(f"{_PROJECT}/runs", views.RunsAPI.as_view(), name="runs"),
    path(f"{_PROJECT}/runs/<int:run_id>", views.RunAPI.as_view(), name="run"),
    path(f"{_PROJECT}/runs/<int:run_id>/cancel", views.CancelRunAPI.as_view(), name="run-cancel"),
]
