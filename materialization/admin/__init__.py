"""Runs and schedules for people in a browser, and what of them shows on the registry's pages.

Not for performing runs or deciding what is due: ``runner`` and ``requests`` do.
"""

from __future__ import annotations

from materialization.admin import panels, runs, schedules

__all__ = ["panels", "runs", "schedules"]
