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
        from serving.ingest import watching as pushes
        from serving.jobs import watching as jobs
        from serving.online import sensitive_reads
        from serving.usage import duties as usage
        from serving.usage import standing

        words.register()
        snippets.announce()
        sensitive_reads.register()
        pushes.register()
        duties.register(watching.DUTIES)
        duties.register(jobs.DUTIES)
        duties.register(usage.DUTIES)
        standing.register()
        lineage.register()
