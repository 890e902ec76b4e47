"""HTML that shows how far a run is and how comparisons ended, for lists and pages of the admin.

Not for the registry's badges and links: ``registry.markup`` has those.
"""

from __future__ import annotations

from math import log10
from typing import TYPE_CHECKING

from django.utils.html import format_html, format_html_join

from materialization.choices import UNSUCCESSFUL_STATUSES, CertificateStatus, RunKind
from registry.markup import badge

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from django.utils.safestring import SafeString

    from materialization.models import Certificate, MaterializationRun


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
        '<div class="as-progress"{}><div class="as-track {}"><span style="width: {}%"></span></div>'
        "<small>{} %</small></div>",
        live,
        broken,
        percent,
        percent,
    )


def status_with_bar(run: MaterializationRun) -> SafeString:
    """Show how a run stands, and while it is live how far it is."""
    return format_html("{}{}", badge(run.status), progress_bar(run) if run.is_live else "")


def bars(counts: Sequence[int]) -> SafeString | str:
    """Draw how many values lie in each part of their range, the fullest part at full height."""
    if not counts or not max(counts):
        return ""
    drawn = format_html_join(
        "",
        '<rect x="{}" y="{}" width="4" height="{}"></rect>',
        (
            (5 * number, 20 - height, height)
            for number, count in enumerate(counts)
            for height in [-(-20 * count // max(counts))]
        ),
    )
    return format_html(
        '<svg class="as-bars" width="{0}" height="20" viewBox="0 0 {0} 20" role="img"'
        ' aria-label="histogram of {1} parts">{2}</svg>',
        5 * len(counts),
        len(counts),
        drawn,
    )


def outcomes(certificates: Sequence[Certificate]) -> SafeString | str:
    """Draw how comparisons ended, oldest first: low where equal, the higher the more differs.

    Heights are of the share that differs, by powers of ten: one row of a million is seen too.
    """
    if not certificates:
        return ""
    drawn = format_html_join(
        "",
        '<rect x="{}" y="{}" width="4" height="{}" class="{}"><title>{}: {}</title></rect>',
        (
            (
                5 * number,
                40 - height,
                height,
                tone,
                f"{each.requested_at:%Y-%m-%d %H:%M}",
                each.status,
            )
            for number, each in enumerate(certificates)
            for height, tone in [_outcome(each)]
        ),
    )
    return format_html(
        '<svg class="as-bars" width="{0}" height="40" viewBox="0 0 {0} 40" role="img"'
        ' aria-label="the last {1} comparisons">{2}</svg>'
        '<small class="as-small as-muted">{3}; a bar as high as the chart: all rows differ</small>',
        5 * len(certificates),
        len(certificates),
        drawn,
        _span(certificates[0].requested_at, certificates[-1].requested_at),
    )


def _span(first: datetime, last: datetime) -> str:
    """Say from when to when, once where that is the same minute."""
    return " to ".join(dict.fromkeys(f"{each:%Y-%m-%d %H:%M}" for each in (first, last)))


def _outcome(certificate: Certificate) -> tuple[int, str]:
    if certificate.status == CertificateStatus.DIFFERENT:
        share = certificate.differences / max(certificate.compared, 1)
        return max(40 + round(5 * log10(share)), 8), "as-wrong"
    return (4, "") if certificate.status == CertificateStatus.EQUAL else (4, "as-unknown")


def window_text(run: MaterializationRun) -> SafeString:
    """Show what a run does and up to when, on two short lines."""
    if run.kind == RunKind.RELOAD:
        return format_html(
            '<span class="as-nowrap">{}<br><small class="as-muted">{}</small></span>',
            run.kind,
            "no new rows",
        )
    start = f"{run.window_start:%Y-%m-%d %H:%M}" if run.window_start else "the first row"
    return format_html(
        '<span class="as-nowrap">{} to {}<br><small class="as-muted">from {}, UTC</small></span>',
        run.kind, f"{run.window_end:%Y-%m-%d %H:%M}", start,
    )  # fmt: skip
