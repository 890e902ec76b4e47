"""Template tags that show runs; thin names for ``materialization.markup``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from django import template
from django.utils.timesince import timesince

from materialization.markup import progress_bar, status_with_bar
from registry.markup import link

if TYPE_CHECKING:
    from django.utils.safestring import SafeString

    from materialization.models import MaterializationRun

SECONDS_IN_MINUTE = 60

register = template.Library()
register.filter("run_bar", progress_bar)
register.filter("run_status", status_with_bar)


@register.filter
def lasting(seconds: float) -> str:
    """Write a time in its two largest units, as ``2 days, 3 hours``; a short one in seconds."""
    start = datetime(2000, 1, 1, tzinfo=UTC)
    whole = timesince(start, start + timedelta(seconds=seconds))
    return whole if seconds >= SECONDS_IN_MINUTE else f"{seconds:.3g} s"


@register.simple_tag
def run_link(run: MaterializationRun) -> SafeString:
    return link(run, f"Run {run.pk}")
