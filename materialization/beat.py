"""The one periodic shell. Nobody can schedule anything else from the admin."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task
from django.conf import settings

from lib.clock import database_now
from materialization.requests import sweep as duties
from materialization.requests.turns import end_turn, take_turn


@shared_task(name="materialization.beat.sweep", ignore_result=True)
def sweep(**_: object) -> None:
    """Sweep if it is time to: several messages may come at once after an outage."""
    began = database_now()
    if take_turn(every=timedelta(seconds=settings.SWEEP_EVERY_SECONDS), at=began):
        duties.sweep(at=began)
        end_turn(began=began, at=database_now())
