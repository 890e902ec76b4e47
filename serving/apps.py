from __future__ import annotations

from django.apps import AppConfig

from serving import snippets, words


class ServingConfig(AppConfig):
    name = "serving"
    verbose_name = "Serving"

    def ready(self) -> None:
        from serving.online import sensitive_reads

        words.register()
        snippets.announce()
        sensitive_reads.register()
