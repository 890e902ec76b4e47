"""Serving's part of ``/api/v1``."""

from __future__ import annotations

from django.urls import path

from serving.online_views import OnlineFeaturesAPI
from serving.views import HistoricalFeaturesAPI

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
]
