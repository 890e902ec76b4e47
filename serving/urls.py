"""Serving's part of ``/api/v1``."""

from __future__ import annotations

from django.urls import path

from serving.context.api import FeatureContextAPI
from serving.datasets import api as datasets
from serving.historical.api import HistoricalFeaturesAPI
from serving.historical.files_api import OfflineFilesAPI
from serving.ingest.api import ComputeAPI, PushAPI, WriteToOnlineStoreAPI
from serving.jobs import api as jobs
from serving.online.api import OnlineFeaturesAPI
from serving.search.api import SearchAPI
from serving.usage.api import UsageAPI

_PROJECT = "projects/<slug:project>"
_JOB = f"{_PROJECT}/historical-jobs/<int:job_id>"
_DATASET = f"{_PROJECT}/datasets/<slug:name>/<int:number>"

urlpatterns = [
    path(
        f"{_PROJECT}/get-online-features",
        OnlineFeaturesAPI.as_view(),
        name="get-online-features",
    ),
    path(
        f"{_PROJECT}/get-feature-context",
        FeatureContextAPI.as_view(),
        name="get-feature-context",
    ),
    path(
        f"{_PROJECT}/get-historical-features",
        HistoricalFeaturesAPI.as_view(),
        name="get-historical-features",
    ),
    path(f"{_PROJECT}/search", SearchAPI.as_view(), name="search"),
    path(f"{_PROJECT}/push", PushAPI.as_view(), name="push"),
    path(
        f"{_PROJECT}/write-to-online-store",
        WriteToOnlineStoreAPI.as_view(),
        name="write-to-online-store",
    ),
    path(f"{_PROJECT}/compute", ComputeAPI.as_view(), name="compute"),
    path(f"{_PROJECT}/historical-jobs", jobs.HistoricalJobsAPI.as_view(), name="historical-jobs"),
    path(_JOB, jobs.HistoricalJobAPI.as_view(), name="historical-job"),
    path(f"{_JOB}/download", jobs.DownloadJobAPI.as_view(), name="historical-job-download"),
    path(f"{_JOB}/cancel", jobs.CancelJobAPI.as_view(), name="historical-job-cancel"),
    path(f"{_PROJECT}/datasets", datasets.DatasetsAPI.as_view(), name="datasets"),
    path(_DATASET, datasets.DatasetAPI.as_view(), name="dataset"),
    path(f"{_DATASET}/manifest", datasets.ManifestAPI.as_view(), name="dataset-manifest"),
    path(f"{_DATASET}/download", datasets.DownloadAPI.as_view(), name="dataset-download"),
    path(f"{_DATASET}/end", datasets.EndAPI.as_view(), name="dataset-end"),
    path(f"{_DATASET}/verify", datasets.VerifyAPI.as_view(), name="dataset-verify"),
    path(f"{_DATASET}/checks/<int:check_id>", datasets.CheckAPI.as_view(), name="dataset-check"),
    path(f"{_PROJECT}/usage", UsageAPI.as_view(), name="usage"),
    path(f"{_PROJECT}/offline-files", OfflineFilesAPI.as_view(), name="offline-files"),
]
