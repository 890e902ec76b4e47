"""The composition root as an app of Django's: what it listens to from the start."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig


class FeaturestoreProjectConfig(AppConfig):
    name = "featurestore_project"

    def ready(self) -> None:
        import_module("featurestore_project.sessions")  # notes when somebody logs in
