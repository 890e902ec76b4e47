"""Materialization's part of ``/api/v1``."""

from __future__ import annotations

from django.urls import path

from materialization.api import alerts, runs

_PROJECT = "projects/<slug:project>"

urlpatterns = [
    path(f"{_PROJECT}/materialize", runs.MaterializeAPI.as_view(), name="materialize"),
    path(
        f"{_PROJECT}/materialize-incremental",
        runs.MaterializeIncrementalAPI.as_view(),
        name="materialize-incremental",
    ),
    path(f"{_PROJECT}/runs", runs.RunsAPI.as_view(), name="runs"),
    path(f"{_PROJECT}/runs/<int:run_id>", runs.RunAPI.as_view(), name="run"),
    path(f"{_PROJECT}/runs/<int:run_id>/cancel", runs.CancelRunAPI.as_view(), name="run-cancel"),
    path(f"{_PROJECT}/runs/<int:run_id>/pause", runs.PauseRunAPI.as_view(), name="run-pause"),
    path(f"{_PROJECT}/runs/<int:run_id>/resume", runs.ResumeRunAPI.as_view(), name="run-resume"),
    path(f"{_PROJECT}/alerts", alerts.AlertsAPI.as_view(), name="alerts"),
    path(
        f"{_PROJECT}/alerts/<int:alert_id>/acknowledge",
        alerts.AcknowledgeAlertAPI.as_view(),
        name="alert-acknowledge",
    ),
]
