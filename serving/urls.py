"""Serving's part of ``/api/v1``."""

from __future__ import annotations

from django.urls import path

from serving.online_views import OnlineFeaturesAPI

_PROJECT = "projects/<slug:project>"

urlpatterns = [
    path(f"{_PROJECT}/get-online-features", OnlineFeaturesAPI.as_view(), name="get-online-features"),
]
