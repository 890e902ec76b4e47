from __future__ import annotations

from django.apps import AppConfig

from materialization import words


class MaterializationConfig(AppConfig):
    name = "materialization"
    verbose_name = "Materialization"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Imported here: it needs the models, which are loaded by now.
        from materialization import catalogue
        from materialization.quality.alerts import people

        words.register()
        catalogue.register()
        people.register()
