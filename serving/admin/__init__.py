"""Serving's pages for people."""

from __future__ import annotations

from serving.admin import datasets

__all__ = ["datasets"]
