"""HTML that shows how far a run is, for lists and pages of the admin.

Not for the registry's badges and links: ``registry.markup`` has those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.html import format_html

from materialization.choices import UNSUCCESSFUL_STATUSES

if TYPE_CHECKING:
    from django.utils.safestring import SafeString

    from materialization.models import MaterializationRun


def progress_bar(run: MaterializationRun) -> SafeString:
    """Show how far a run is; a live one carries its id, so that the page's script keeps it so."""
    percent = round(run.progress * 100)
    live = (
        format_html(' data-live-run="{}" data-status="{}"', run.pk, run.status)
        if run.is_live
        else ""
    )
    broken = "as-track-bad" if run.status in UNSUCCESSFUL_STATUSES else ""
    return format_html(
        '<div class="as-progress"{}><div class="as-track {}"><span style="width: {}%"></span></div><small>{} %</small></div>',
        live, broken, percent, percent,
    )  # fmt: skip
