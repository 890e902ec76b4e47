"""Serving's part of ``/api/v1``."""

from __future__ import annotations

from django.urls import path

from serving.historical.api import HistoricalFeaturesAPI
from serving.historical.files_api import OfflineFilesAPI
from serving.online.api import OnlineFeaturesAPI

_PROJECT = "projects/<slug:project>"

urlpatterns = [
    path(
        f"{_PROJECT}/get-online-features",
        OnlineFeaturesAPI.as_view(),
        name="get-online-features",
    ),
    path(
        f"{_PROJECT}/get-historical-features",
        HistoricalFeaturesAPI.as_view(),
        name="get-historical-features",
    ),
    path(f"{_PROJECT}/offline-files", OfflineFilesAPI.as_view(), name="offline-files"),
]
