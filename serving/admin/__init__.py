"""Serving's pages for people."""

from __future__ import annotations

from serving.admin import datasets, jobs, usage

__all__ = ["datasets", "jobs", "usage"]
