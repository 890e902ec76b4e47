"""Serving's pages for people."""

from __future__ import annotations

from serving.admin import datasets, jobs, served, usage

__all__ = ["datasets", "jobs", "served", "usage"]
