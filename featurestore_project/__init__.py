"""The composition root: imports every app, imported by none.

Loading the Celery application here makes ``shared_task`` find it in every process.
"""

from __future__ import annotations

from featurestore_project.celery import app as celery_app

__all__ = ["celery_app"]
