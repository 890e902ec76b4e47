"""The one periodic shell. Nobody can schedule anything else from the admin."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from materialization.requests import sweep as duties


@shared_task(name="materialization.beat.sweep", ignore_result=True)
def sweep(**_: object) -> None:
    duties.sweep(at=timezone.now())
