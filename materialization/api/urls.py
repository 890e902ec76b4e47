"""Materialization's part of ``/api/v1``."""

from __future__ import annotations

from django.urls import path, re_path

from materialization.api import alerts, budgets, certificates, profiles, quarantine, runs, streams

_PROJECT = "projects/<slug:project>"
_VERSION = r"^projects/(?P<project>[-\w]+)/feature-views/(?P<name>\w+)/versions/(?P<version>[\w.]+)"

urlpatterns = [
    path(f"{_PROJECT}/materialize", runs.MaterializeAPI.as_view(), name="materialize"),
    path(
        f"{_PROJECT}/materialize-incremental",
        runs.MaterializeIncrementalAPI.as_view(),
        name="materialize-incremental",
    ),
    path(
        f"{_PROJECT}/feature-views/<str:name>/versions/<str:version>/backfill",
        runs.BackfillAPI.as_view(),
        name="backfill",
    ),
    path(f"{_PROJECT}/runs", runs.RunsAPI.as_view(), name="runs"),
    path(f"{_PROJECT}/runs/<int:run_id>", runs.RunAPI.as_view(), name="run"),
    path(
        f"{_PROJECT}/runs/<int:run_id>/quarantine",
        quarantine.QuarantineAPI.as_view(),
        name="quarantine",
    ),
    path(
        f"{_PROJECT}/runs/<int:run_id>/quarantine/release",
        quarantine.ReleaseAPI.as_view(),
        name="quarantine-release",
    ),
    path(
        f"{_PROJECT}/runs/<int:run_id>/quarantine/discard",
        quarantine.DiscardAPI.as_view(),
        name="quarantine-discard",
    ),
    path(f"{_PROJECT}/runs/<int:run_id>/cancel", runs.CancelRunAPI.as_view(), name="run-cancel"),
    path(f"{_PROJECT}/runs/<int:run_id>/pause", runs.PauseRunAPI.as_view(), name="run-pause"),
    path(f"{_PROJECT}/runs/<int:run_id>/resume", runs.ResumeRunAPI.as_view(), name="run-resume"),
    path(f"{_PROJECT}/streams", streams.StreamsAPI.as_view(), name="streams"),
    path(
        f"{_PROJECT}/streams/<int:part_id>/read-on",
        streams.ReadOnAPI.as_view(),
        name="stream-read-on",
    ),
    path(f"{_PROJECT}/dead-letters", streams.DeadLettersAPI.as_view(), name="dead-letters"),
    path(
        f"{_PROJECT}/dead-letters/<int:letter_id>/replay",
        streams.ReplayAPI.as_view(),
        name="dead-letter-replay",
    ),
    path(
        f"{_PROJECT}/dead-letters/<int:letter_id>/dismiss",
        streams.DismissAPI.as_view(),
        name="dead-letter-dismiss",
    ),
    path(f"{_PROJECT}/alerts", alerts.AlertsAPI.as_view(), name="alerts"),
    path(
        f"{_PROJECT}/alerts/<int:alert_id>/acknowledge",
        alerts.AcknowledgeAlertAPI.as_view(),
        name="alert-acknowledge",
    ),
    path(f"{_PROJECT}/feature-views/<str:name>/budget", budgets.BudgetAPI.as_view(), name="budget"),
    re_path(rf"{_VERSION}/profile$", profiles.ProfileAPI.as_view(), name="profile"),
    re_path(rf"{_VERSION}/baseline$", profiles.BaselineAPI.as_view(), name="baseline"),
    re_path(rf"{_VERSION}/compare$", certificates.CompareAPI.as_view(), name="compare"),
    path(f"{_PROJECT}/certificates", certificates.CertificatesAPI.as_view(), name="certificates"),
    path(
        f"{_PROJECT}/certificates/<int:certificate_id>",
        certificates.CertificateAPI.as_view(),
        name="certificate",
    ),
]
