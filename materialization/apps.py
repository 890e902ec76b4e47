from __future__ import annotations

from django.apps import AppConfig

from materialization import words


class MaterializationConfig(AppConfig):
    name = "materialization"
    verbose_name = "Materialization"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        words.register()
