from __future__ import annotations

from django.apps import AppConfig

from serving import snippets, words


class ServingConfig(AppConfig):
    name = "serving"
    verbose_name = "Serving"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from materialization import duties
        from serving.datasets import lineage, watching
        from serving.online import sensitive_reads

        words.register()
        snippets.announce()
        sensitive_reads.register()
        duties.register(watching.DUTIES)
        lineage.register()
