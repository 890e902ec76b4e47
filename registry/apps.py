"""The registry as a Django app; its start registers what it says in the trail and on badges."""

from __future__ import annotations

from django.apps import AppConfig

from registry import words


class RegistryConfig(AppConfig):
    name = "registry"
    verbose_name = "Registry"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from registry import account_names

        words.register()
        account_names.connect()
