"""The registry as a Django app; its start registers what it says in the trail and on badges."""

from __future__ import annotations

from django.apps import AppConfig

from registry import words


class RegistryConfig(AppConfig):
    name = "registry"
    verbose_name = "Registry"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Imported here: they need the models, which are loaded by now.
        from registry import hearers, news
        from registry.accounts import names as account_names
        from registry.accounts import past_us

        words.register()
        account_names.connect()
        past_us.connect()
        news.register(hearers.TABLE)
