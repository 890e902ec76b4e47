"""Runs, schedules, stored data: pages for people, and what of them shows on pages of others.

Not for performing runs or deciding what is due: ``runner`` and ``requests`` do.
"""

from __future__ import annotations

from materialization.admin import (
    alerts,
    budgets,
    certificates,
    channels,
    evidence,
    features,
    overview,
    panels,
    pushes,
    quarantine,
    runs,
    schedules,
    sources,
    stored,
    streams,
    vectors,
)

__all__ = [
    "alerts",
    "budgets",
    "certificates",
    "channels",
    "evidence",
    "features",
    "overview",
    "panels",
    "pushes",
    "quarantine",
    "runs",
    "schedules",
    "sources",
    "stored",
    "streams",
    "vectors",
]
