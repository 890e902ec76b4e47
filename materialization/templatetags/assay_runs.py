"""Template tags that show runs; thin names for ``materialization.markup``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django import template

from materialization.markup import progress_bar, status_with_bar
from registry.markup import link

if TYPE_CHECKING:
    from django.utils.safestring import SafeString

    from materialization.models import MaterializationRun

register = template.Library()
register.filter("run_bar", progress_bar)
register.filter("run_status", status_with_bar)


@register.simple_tag
def run_link(run: MaterializationRun) -> SafeString:
    return link(run, f"Run {run.pk}")
