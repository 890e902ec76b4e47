"""Serving's part of ``/api/v1``."""

from __future__ import annotations

from django.urls import path

from serving.datasets import api as datasets
from serving.historical.api import HistoricalFeaturesAPI
from serving.historical.files_api import OfflineFilesAPI
from serving.online.api import OnlineFeaturesAPI

_PROJECT = "projects/<slug:project>"
_DATASET = f"{_PROJECT}/datasets/<slug:name>/<int:number>"

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
    path(f"{_PROJECT}/datasets", datasets.DatasetsAPI.as_view(), name="datasets"),
    path(_DATASET, datasets.DatasetAPI.as_view(), name="dataset"),
    path(f"{_DATASET}/manifest", datasets.ManifestAPI.as_view(), name="dataset-manifest"),
    path(f"{_DATASET}/download", datasets.DownloadAPI.as_view(), name="dataset-download"),
    path(f"{_DATASET}/verify", datasets.VerifyAPI.as_view(), name="dataset-verify"),
    path(f"{_DATASET}/checks/<int:check_id>", datasets.CheckAPI.as_view(), name="dataset-check"),
    path(f"{_PROJECT}/offline-files", OfflineFilesAPI.as_view(), name="offline-files"),
]
